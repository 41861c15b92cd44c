//! Writing: one record, one write, under one short lock.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::chain::Chain;
use super::format::{HEADER_BYTES, Header, LedgerId, Position, Record};
use super::keeper;
use super::recovery::{CHECKED_BYTES, Lost, OpenError, Resume, recover};
use super::segment::Reader;
use super::storage::{SegmentFile, Storage};
use super::survey::Survey;
use super::waiters::{Late, Waiters};
use crate::metrics::METRICS;

/// Written and not yet synced records are kept to be written again; a disk that stands still for longer than it
/// takes to fill this counts as failed.
const MAX_UNSYNCED_BYTES: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A record survives the process.
    Process,
    /// A record survives the machine: responses wait for one shared sync.
    Power,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub durability: Durability,
    /// The most that power loss can take in [`Durability::Process`].
    pub sync_interval: Duration,
    /// A segment is rolled when it has grown beyond this.
    pub segment_bytes: u64,
}

/// Why a record could not be written. The request it is for must not be answered as charged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be written: {0}")]
pub struct LedgerError(Arc<str>);

/// The record's number: proof that it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended(pub u64);

/// How far the ledger is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    pub position: Position,
    /// Every record below this number is durable.
    pub next_record: u64,
}

/// The open ledger. [`Ledger::close`] syncs what is left.
pub struct Ledger {
    shared: Arc<Shared>,
    losses: Vec<Lost>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What requests and the keeper share.
pub(super) struct Shared {
    pub storage: Arc<dyn Storage>,
    pub options: Options,
    pub ledger: LedgerId,
    pub tail: Mutex<Tail>,
    /// Wakes the keeper.
    pub wake: Condvar,
    pub synced: watch::Sender<Synced>,
    /// Responses that wait for their records.
    pub waiters: Arc<Waiters>,
    /// False from a failure until the tail has been written again.
    pub available: AtomicBool,
}

/// The end of the ledger, under the one lock.
pub(super) struct Tail {
    pub file: Arc<dyn SegmentFile>,
    pub position: Position,
    pub next_record: u64,
    /// The bytes written since the last sync began.
    pub unsynced: Vec<u8>,
    pub failed: Option<LedgerError>,
    /// Corrections that could not be written; they follow as soon as the ledger can be.
    pub owed: Vec<Record>,
    /// Somebody waits for the next sync.
    pub urgent: bool,
    /// The keeper has to be woken.
    pub asleep: bool,
    pub stopping: bool,
    pub lent: Lent,
}

/// Whether another process writes the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lent {
    No,
    /// It will, once all that was written here is on disk.
    Soon,
    Yes,
}

impl Ledger {
    /// Checks what is on disk and opens a new segment behind it. Nothing is known to be lost.
    pub fn open(
        storage: Arc<dyn Storage>,
        ledger: LedgerId,
        resume: Resume,
        options: Options,
        now_micros: i64,
    ) -> Result<Self, OpenError> {
        Self::open_after_losses(storage, ledger, resume, &[], options, now_micros).map(|(ledger, _)| ledger)
    }

    /// The same where earlier starts found records lost. Answers what is found lost now: the caller keeps it, durably,
    /// before anything is folded, since behind the folded position it would be damage.
    pub fn open_after_losses(
        storage: Arc<dyn Storage>,
        ledger: LedgerId,
        resume: Resume,
        known: &[Lost],
        options: Options,
        now_micros: i64,
    ) -> Result<(Self, Vec<Lost>), OpenError> {
        Self::open_checked(storage, (ledger, CHECKED_BYTES), resume, known, options, now_micros)
    }

    /// The same of a ledger that another process has just lent: what that has folded need not be read again.
    pub fn open_lent(
        storage: Arc<dyn Storage>,
        ledger: LedgerId,
        resume: Resume,
        known: &[Lost],
        options: Options,
        now_micros: i64,
    ) -> Result<(Self, Vec<Lost>), OpenError> {
        Self::open_checked(storage, (ledger, 0), resume, known, options, now_micros)
    }

    fn open_checked(
        storage: Arc<dyn Storage>,
        (ledger, checked_bytes): (LedgerId, u64),
        resume: Resume,
        known: &[Lost],
        options: Options,
        now_micros: i64,
    ) -> Result<(Self, Vec<Lost>), OpenError> {
        let recovered = recover(&storage, ledger, resume, known, checked_bytes)?;
        let (segment, next_record) = (recovered.next_segment, recovered.next_record);
        let header = Header { ledger, segment, first_record: next_record, made_at_micros: now_micros };
        let file = keeper::new_segment(&storage, &header)?;
        let mut chain = Chain::default();
        chain.link(&storage, &*file, header)?;
        let position = Position { segment, offset: HEADER_BYTES };
        let shared = Arc::new(Shared {
            storage,
            options,
            ledger,
            tail: Mutex::new(Tail {
                file,
                position,
                next_record,
                unsynced: Vec::new(),
                failed: None,
                owed: Vec::new(),
                urgent: false,
                asleep: false,
                stopping: false,
                lent: Lent::No,
            }),
            wake: Condvar::new(),
            synced: watch::Sender::new(Synced { position, next_record }),
            waiters: Arc::new(Waiters::new(next_record)),
            available: AtomicBool::new(true),
        });
        let keeper = keeper::spawn(shared.clone(), chain)?;
        let losses = [known, &recovered.lost].concat();
        let opened = Self { shared, losses, threads: Mutex::new(vec![keeper]) };
        if options.durability == Durability::Power {
            opened.threads().push(opened.shared.waiters.spawn_watch()?);
        }
        Ok((opened, recovered.lost))
    }

    /// Writes one record. After an error nothing of it counts.
    pub fn append(&self, record: &Record) -> Result<Appended, LedgerError> {
        let mut tail = self.shared.tail();
        let appended = self.shared.write(&mut tail, record);
        self.shared.release(tail);
        appended
    }

    /// Writes a correction now, or as soon as the ledger can be written again, and before that anything that
    /// was written later is folded. None: it has to wait.
    pub fn correct(&self, record: Record) -> Option<Appended> {
        let mut tail = self.shared.tail();
        let appended = self.shared.write(&mut tail, &record).ok();
        if appended.is_none() && tail.stopping {
            tracing::error!(?record, "a correction came after the ledger was closed: this charge stands");
        } else if appended.is_none() {
            tail.owed.push(record);
        }
        self.shared.release(tail);
        appended
    }

    /// Returns once the record survives what the configured durability promises.
    pub async fn durable(&self, appended: Appended) -> Result<(), LedgerError> {
        if self.shared.options.durability == Durability::Process {
            return Ok(());
        }
        let waited = self.shared.waiters.wait(appended.0).await;
        waited.map_err(|Late| LedgerError("the disk did not sync in time".into()))
    }

    /// Whether appends are expected to succeed; no lock, for the path of a request.
    pub fn is_available(&self) -> bool {
        self.shared.available.load(Ordering::Relaxed)
    }

    /// Asks for a sync without waiting for the interval, and says which record number it has to pass.
    pub fn request_sync(&self) -> u64 {
        let mut tail = self.shared.tail();
        tail.urgent = true;
        let next_record = tail.next_record;
        self.shared.release(tail);
        next_record
    }

    /// Lets another process write. Appends fail from now on; when this returns all of them before are on disk, and
    /// nothing is written, made or rolled here until the ledger is [taken back](Self::take_back).
    pub async fn lend(&self) {
        {
            let mut tail = self.shared.tail();
            (tail.lent, tail.urgent) = (Lent::Soon, true);
            self.shared.release(tail);
        }
        // It ends with the ledger.
        let _ = self.synced().wait_for(|_| self.shared.tail().lent == Lent::Yes).await;
    }

    /// Writes on, in a new segment behind all that the other process has made: it must have written no record, and
    /// write none. Returns once appends succeed again.
    pub async fn take_back(&self) {
        {
            let mut tail = self.shared.tail();
            (tail.lent, tail.urgent) = (Lent::No, true);
            tail.failed.get_or_insert_with(|| LedgerError("another process had it".into()));
            self.shared.release(tail);
        }
        let _ = self.synced().wait_for(|_| self.shared.tail().failed.is_none()).await;
    }

    /// How far the ledger is on disk; changes are announced.
    pub fn synced(&self) -> watch::Receiver<Synced> {
        self.shared.synced.subscribe()
    }

    /// What losses of power took.
    pub fn losses(&self) -> &[Lost] {
        &self.losses
    }

    /// Reads from what has been folded.
    pub fn reader(&self, resume: Resume) -> Reader {
        Reader::new(self.shared.storage.clone(), resume.folded, resume.next_record)
    }

    /// Everything that is there now, for those who read far back.
    pub fn survey(&self) -> io::Result<Survey> {
        Survey::new(self.shared.storage.clone(), self.shared.ledger)
    }

    /// Removes segments that ended before `before_micros` and lie before the folded position.
    pub fn prune(&self, before_micros: i64, folded: Position) -> io::Result<usize> {
        keeper::prune(&self.shared.storage, before_micros, folded)
    }

    /// Syncs what is left and ends the threads. Appends after it fail.
    pub fn close(&self) {
        let mut tail = self.shared.tail();
        tail.stopping = true;
        self.shared.release(tail);
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
            // The first is the keeper: it has synced what it could.
            self.shared.waiters.close();
        }
    }

    /// The keeper, then those who help it; none once it is closed.
    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// A panic elsewhere leaves the tail as valid as it was: every change below is complete or undone.
    pub fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, tail: &mut Tail, record: &Record) -> Result<Appended, LedgerError> {
        if let Some(error) = &tail.failed {
            return Err(error.clone());
        }
        if tail.stopping {
            return Err(LedgerError("it is closed".into()));
        }
        if tail.lent != Lent::No {
            return Err(LedgerError("another process writes it".into()));
        }
        let start = tail.unsynced.len();
        if start > MAX_UNSYNCED_BYTES {
            return Err(LedgerError("the disk does not keep up".into()));
        }
        let number = tail.next_record;
        record.encode(number, &mut tail.unsynced);
        if let Err(error) = tail.file.write_at(&tail.unsynced[start..], tail.position.offset) {
            tail.unsynced.truncate(start);
            return Err(self.fail(tail, "write", &error));
        }
        let length = (tail.unsynced.len() - start) as u64;
        tail.position.offset += length;
        tail.next_record += 1;
        METRICS.ledger_appends.inc();
        METRICS.ledger_bytes.inc_by(length);
        tail.urgent |= self.options.durability == Durability::Power;
        Ok(Appended(number))
    }

    /// Nothing more is written to this segment.
    pub fn fail(&self, tail: &mut Tail, operation: &str, error: &io::Error) -> LedgerError {
        tracing::error!(operation, %error, segment = tail.position.segment, "the ledger failed");
        METRICS.ledger_errors.inc();
        let error = LedgerError(format!("{operation}: {error}").into());
        tail.failed = Some(error.clone());
        tail.urgent = true;
        self.available.store(false, Ordering::Relaxed);
        error
    }

    /// Lets go of the tail, and then wakes the keeper if there is something for it to do: not before, or it would find
    /// the tail locked, and not while it is at work, since then it looks by itself.
    pub fn release(&self, mut tail: MutexGuard<'_, Tail>) {
        let wakes = (tail.urgent || tail.stopping) && std::mem::take(&mut tail.asleep);
        drop(tail);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Says how far the ledger is on disk.
    pub fn announce(&self, synced: Synced) {
        self.synced.send_replace(synced);
        self.waiters.reach(synced.next_record);
    }
}

#[cfg(test)]
#[path = "lend_tests.rs"]
mod lend_tests;
