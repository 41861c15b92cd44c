//! The ledger's thread: syncs, rolls, and after a failure writes the unsynced tail again.
//!
//! It is a plain thread, so that it outlives the runtimes that serve requests. It holds the lock of the tail once a
//! sync, to take what was written, and never while the disk is at work.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::append::{Lent, Shared, Synced, Tail};
use super::chain::Chain;
use super::format::{HEADER_BYTES, Header, Position};
use super::segment::read_header;
use super::storage::{SegmentFile, Storage};
use crate::clock;
use crate::metrics::METRICS;

/// A failed ledger is tried again at least this often.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// A larger buffer is given back to the system.
const MAX_SPARE_BYTES: usize = 8 << 20;

pub(super) fn spawn(shared: Arc<Shared>, chain: Chain) -> io::Result<JoinHandle<()>> {
    let keeper = Keeper { shared, chain, spare: Vec::new() };
    thread::Builder::new().name("ledger".into()).spawn(move || keeper.keep())
}

struct Keeper {
    shared: Arc<Shared>,
    chain: Chain,
    /// The emptied buffer of the batch before, so that no record waits for memory.
    spare: Vec<u8>,
}

/// What is to be done.
struct Turn {
    /// None: the ledger has failed.
    batch: Option<Batch>,
    stopping: bool,
}

/// What one sync makes durable: the bytes written since the one before, all in one file.
struct Batch {
    bytes: Vec<u8>,
    file: Arc<dyn SegmentFile>,
    /// Once it is durable.
    reached: Synced,
}

impl Batch {
    /// What was written goes to the next one from now on.
    fn take(tail: &mut Tail, spare: &mut Vec<u8>) -> Self {
        Self {
            bytes: std::mem::replace(&mut tail.unsynced, std::mem::take(spare)),
            file: tail.file.clone(),
            reached: Synced { position: tail.position, next_record: tail.next_record },
        }
    }
}

impl Keeper {
    fn keep(mut self) {
        loop {
            let Turn { batch, stopping } = self.wait();
            let outcome = match batch {
                Some(batch) if batch.bytes.is_empty() => self.roll(),
                Some(batch) => self.sync(batch, None).and_then(|()| self.roll()),
                None => self.repair(),
            };
            self.lend();
            if let Err(error) = outcome {
                tracing::error!(%error, "the upkeep of the ledger failed; it is tried again");
            }
            if stopping {
                return;
            }
        }
    }

    /// Until there is something to do: the interval has passed, somebody waits, or the ledger is closed.
    fn wait(&mut self) -> Turn {
        let mut tail = self.shared.tail();
        let interval = if tail.failed.is_some() { RETRY_EVERY } else { self.shared.options.sync_interval };
        let deadline = Instant::now() + interval;
        while !tail.urgent && !tail.stopping {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            tail.asleep = true;
            tail = self.shared.wake.wait_timeout(tail, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (tail.urgent, tail.asleep) = (false, false);
        let batch = tail.failed.is_none().then(|| Batch::take(&mut tail, &mut self.spare));
        Turn { batch, stopping: tail.stopping }
    }

    /// Lets go of the ledger where another process waits for it, and all that was written is on disk.
    fn lend(&self) {
        let mut tail = self.shared.tail();
        if tail.lent != Lent::Soon || tail.failed.is_some() || !tail.unsynced.is_empty() {
            return;
        }
        tail.lent = Lent::Yes;
        drop(tail);
        // Nothing has been reached: it tells whoever waits.
        let synced = *self.shared.synced.borrow();
        self.shared.announce(synced);
    }

    /// Makes a batch durable, and with it the head of the `next` segment, and says so.
    fn sync(&mut self, mut batch: Batch, next: Option<&dyn SegmentFile>) -> io::Result<()> {
        let started = Instant::now();
        let outcome = batch.file.sync().and_then(|()| next.map_or(Ok(()), SegmentFile::sync));
        METRICS.ledger_sync_seconds.observe(started.elapsed().as_secs_f64());
        if let Err(error) = outcome {
            let mut tail = self.shared.tail();
            let written_since = std::mem::replace(&mut tail.unsynced, batch.bytes);
            tail.unsynced.extend_from_slice(&written_since);
            self.shared.fail(&mut tail, "sync", &error);
            return Err(error);
        }
        self.shared.announce(batch.reached);
        self.chain.add(&batch.bytes);
        if batch.bytes.capacity() <= MAX_SPARE_BYTES {
            batch.bytes.clear();
            self.spare = batch.bytes;
        }
        Ok(())
    }

    /// Opens the next segment when the current one is large enough.
    fn roll(&mut self) -> io::Result<()> {
        let shared = &*self.shared;
        let is_full = shared.synced.borrow().position.offset >= shared.options.segment_bytes;
        if !is_full || shared.tail().lent != Lent::No {
            return Ok(());
        }
        let storage = shared.storage.clone();
        let segment = next_segment(&storage)?;
        let file = storage.create(segment)?;
        // Its place in the folder is durable before any record is in it.
        let made = storage.sync_folder();
        let mut tail = shared.tail();
        if made.is_err() || tail.failed.is_some() {
            drop(tail);
            return made.and(storage.remove(segment));
        }
        let (first_record, made_at_micros) = (tail.next_record, clock::now().micros());
        let header = Header { ledger: shared.ledger, segment, first_record, made_at_micros };
        if let Err(error) = file.write_at(&header.encode(), 0) {
            shared.fail(&mut tail, "roll", &error);
            drop(tail);
            return storage.remove(segment).and(Err(error));
        }
        // The last of the finished segment.
        let mut batch = Batch::take(&mut tail, &mut self.spare);
        tail.file = file.clone();
        tail.position = Position { segment, offset: HEADER_BYTES };
        batch.reached.position = tail.position;
        drop(tail);
        self.sync(batch, Some(&*file))?;
        self.chain.link(&storage, &*file, header)
    }

    /// After a failure: what was written since the last good sync is written again, under the same numbers, into a
    /// new segment, and the corrections that had to wait behind it. The failed segment is left as it is; its records
    /// from there on are superseded.
    fn repair(&mut self) -> io::Result<()> {
        self.chain.forget();
        let shared = &*self.shared;
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
        tail.position = Position { segment, offset: HEADER_BYTES + written as u64 };
        tail.unsynced.clear();
        tail.failed = None;
        // Under the lock: a write that fails right after says otherwise, and must have the last word.
        shared.available.store(true, Ordering::Relaxed);
        let synced = Synced { position: tail.position, next_record: tail.next_record };
        drop(tail);
        shared.announce(synced);
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

/// Makes a segment with its header, durably; leaves nothing behind when it cannot.
pub(super) fn new_segment(storage: &Arc<dyn Storage>, header: &Header) -> io::Result<Arc<dyn SegmentFile>> {
    let file = storage.create(header.segment)?;
    let written =
        file.write_at(&header.encode(), 0).and_then(|()| file.sync()).and_then(|()| storage.sync_folder());
    if let Err(error) = written {
        let _ = storage.remove(header.segment);
        return Err(error);
    }
    Ok(file)
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
