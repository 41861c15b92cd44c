//! The ledger's thread: syncs, rolls, and after a failure writes the unsynced tail again.
//!
//! It is a plain thread, so that it outlives the runtimes that serve requests.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::append::{Shared, Synced};
use super::format::{HEADER_BYTES, Header, LedgerId, Position};
use super::segment::{read_header, read_range};
use super::storage::{SegmentFile, Storage};
use crate::clock;
use crate::metrics::METRICS;

/// A failed ledger is tried again at least this often.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// A segment is read in pieces of this size to be hashed.
const HASHED_AT_ONCE: u64 = 256 << 10;
/// A larger buffer is given back to the system.
const MAX_SPARE_BYTES: usize = 8 << 20;

pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("ledger".into()).spawn(move || keep(&shared))
}

fn keep(shared: &Shared) {
    loop {
        let Turn { failed, stopping } = wait(shared);
        let outcome = if failed { repair(shared) } else { sync(shared).and_then(|()| roll(shared)) };
        if let Err(error) = outcome {
            tracing::error!(%error, "the upkeep of the ledger failed; it is tried again");
        }
        if stopping {
            return;
        }
    }
}

struct Turn {
    failed: bool,
    stopping: bool,
}

/// Until there is something to do: the interval has passed, somebody waits, or the ledger is closed.
fn wait(shared: &Shared) -> Turn {
    let mut tail = shared.tail();
    let interval = if tail.failed.is_some() { RETRY_EVERY } else { shared.options.sync_interval };
    let deadline = Instant::now() + interval;
    while !tail.urgent && !tail.stopping {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        tail = shared.wake.wait_timeout(tail, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    tail.urgent = false;
    Turn { failed: tail.failed.is_some(), stopping: tail.stopping }
}

/// Makes everything written so far durable and says so.
fn sync(shared: &Shared) -> io::Result<()> {
    let (mut batch, retired, file, synced) = {
        let mut tail = shared.tail();
        if tail.unsynced.is_empty() && tail.retired.is_none() {
            return Ok(());
        }
        let synced = Synced { position: tail.position, next_record: tail.next_record };
        let spare = std::mem::take(&mut tail.spare);
        let batch = std::mem::replace(&mut tail.unsynced, spare);
        (batch, tail.retired.clone(), tail.file.clone(), synced)
    };
    let started = Instant::now();
    let outcome = retired.as_ref().map_or(Ok(()), |file| file.sync()).and_then(|()| file.sync());
    METRICS.ledger_sync_seconds.observe(started.elapsed().as_secs_f64());
    let mut tail = shared.tail();
    if let Err(error) = outcome {
        let written_since = std::mem::replace(&mut tail.unsynced, batch);
        tail.unsynced.extend_from_slice(&written_since);
        shared.fail(&mut tail, "sync", &error);
        return Err(error);
    }
    tail.retired = None;
    if batch.capacity() <= MAX_SPARE_BYTES {
        batch.clear();
        tail.spare = batch;
    }
    drop(tail);
    shared.synced.send_replace(synced);
    Ok(())
}

/// Opens the next segment when the current one is large enough.
fn roll(shared: &Shared) -> io::Result<()> {
    if shared.tail().position.offset < shared.options.segment_bytes {
        return Ok(());
    }
    let segment = next_segment(&shared.storage)?;
    let file = shared.storage.create(segment)?;
    // Its place in the folder is durable before any record is in it.
    let made = shared.storage.sync_folder();
    if made.is_err() || shared.tail().failed.is_some() {
        return made.and(shared.storage.remove(segment));
    }
    {
        let mut tail = shared.tail();
        let header = Header {
            ledger: shared.ledger,
            segment,
            first_record: tail.next_record,
            made_at_micros: clock::now().micros(),
        };
        if let Err(error) = file.write_at(&header.encode(), 0) {
            shared.fail(&mut tail, "roll", &error);
            return shared.storage.remove(segment).and(Err(error));
        }
        tail.retired = Some(std::mem::replace(&mut tail.file, file.clone()));
        tail.position = Position { segment, offset: HEADER_BYTES };
    }
    sync(shared)?;
    link(&shared.storage, &*file, segment)
}

/// After a failure: what was written since the last good sync is written again, under the same numbers, into a
/// new segment, and the corrections that had to wait behind it. The failed segment is left as it is; its records from
/// there on are superseded.
fn repair(shared: &Shared) -> io::Result<()> {
    let segment = next_segment(&shared.storage)?;
    let file = shared.storage.create(segment)?;
    if let Err(error) = rewrite(shared, segment, &file) {
        // What there is of it supersedes nothing, or holds all that it supersedes.
        let _ = shared.storage.remove(segment);
        return Err(error);
    }
    tracing::info!(segment, "the ledger is available again");
    Ok(())
}

/// Writes and syncs until nothing more is owed, then makes the new segment the tail. Requests may add corrections
/// meanwhile: what they correct is told to be synced only together with them.
fn rewrite(shared: &Shared, segment: u64, file: &Arc<dyn SegmentFile>) -> io::Result<()> {
    let mut written = 0;
    loop {
        let batch = {
            let mut tail = shared.tail();
            for correction in std::mem::take(&mut tail.owed) {
                let number = tail.next_record;
                correction.encode(number, &mut tail.unsynced);
                tail.next_record += 1;
            }
            tail.unsynced[written..].to_vec()
        };
        file.write_at(&batch, HEADER_BYTES + written as u64)?;
        file.sync()?;
        if written == 0 {
            supersede(shared, segment, &**file)?;
        }
        written += batch.len();
        let mut tail = shared.tail();
        if !tail.owed.is_empty() {
            continue;
        }
        tail.file = file.clone();
        tail.retired = None;
        tail.position = Position { segment, offset: HEADER_BYTES + written as u64 };
        tail.unsynced.clear();
        tail.failed = None;
        // Under the lock: a write that fails right after says otherwise, and must have the last word.
        shared.available.store(true, Ordering::Relaxed);
        let synced = Synced { position: tail.position, next_record: tail.next_record };
        drop(tail);
        shared.synced.send_replace(synced);
        return Ok(());
    }
}

/// Writes the header of a segment that holds again all that was not synced. Only now, since it takes the force of the
/// records in the failed segment: a kill before leaves those, a kill after it leaves these.
fn supersede(shared: &Shared, segment: u64, file: &dyn SegmentFile) -> io::Result<()> {
    let first_record = shared.synced.borrow().next_record;
    let made_at_micros = clock::now().micros();
    let header = Header { ledger: shared.ledger, segment, first_record, made_at_micros };
    file.write_at(&header.encode(), 0)?;
    file.sync()?;
    shared.storage.sync_folder()
}

/// Above all that are there, also those that a failure left behind.
fn next_segment(storage: &Arc<dyn Storage>) -> io::Result<u64> {
    Ok(storage.list()?.last().map_or(1, |last| last + 1))
}

/// A segment that has been made.
pub(super) struct NewSegment {
    pub file: Arc<dyn SegmentFile>,
    pub position: Position,
}

/// Makes a segment with its header, durably; leaves nothing behind when it cannot.
pub(super) fn new_segment(
    storage: &Arc<dyn Storage>,
    ledger: LedgerId,
    segment: u64,
    first_record: u64,
    made_at_micros: i64,
) -> io::Result<NewSegment> {
    let file = storage.create(segment)?;
    let header = Header { ledger, segment, first_record, made_at_micros };
    let written =
        file.write_at(&header.encode(), 0).and_then(|()| file.sync()).and_then(|()| storage.sync_folder());
    if let Err(error) = written {
        let _ = storage.remove(segment);
        return Err(error);
    }
    Ok(NewSegment { file, position: Position { segment, offset: HEADER_BYTES } })
}

/// Writes the hash of the segment before into the header of `segment`: a changed or missing one shows.
pub(super) fn link(storage: &Arc<dyn Storage>, file: &dyn SegmentFile, segment: u64) -> io::Result<()> {
    let before = storage.list()?.into_iter().rev().find(|number| *number < segment);
    let Some(before) = before else { return Ok(()) };
    let before = storage.open(before)?;
    let (mut hash, mut at) = (Sha256::new(), 0);
    loop {
        let piece = read_range(&*before, at, at + HASHED_AT_ONCE)?;
        if piece.is_empty() {
            break;
        }
        hash.update(&piece);
        at += piece.len() as u64;
    }
    let (offset, link) = Header::link(hash.finalize().into());
    file.write_at(&link, offset)
}

/// Removes segments that ended before `before_micros`; never the one that is being folded, or later ones.
pub(super) fn prune(storage: &Arc<dyn Storage>, before_micros: i64, folded: Position) -> io::Result<usize> {
    let segments = storage.list()?;
    let mut removed = 0;
    for (at, segment) in segments.iter().enumerate() {
        let mut next = segments[at + 1..].iter().map(|next| read_header(&*storage.open(*next)?));
        let next = next.find_map(Result::transpose).transpose()?;
        let ended_before = next.is_some_and(|next| next.made_at_micros < before_micros);
        if *segment >= folded.segment || !ended_before {
            break;
        }
        storage.remove(*segment)?;
        removed += 1;
    }
    Ok(removed)
}
