//! A disk in memory that fails on demand, for the ledger's promises.
//!
//! - What was written and what is durable are kept apart, by sectors; so are the folder's entries. A sync covers what
//!   had been written when it began.
//! - Each kind of operation can fail at the n-th time or until told otherwise; a failing write leaves a part.
//! - Room can run out.
//! - In the n-th sync, or at the n-th change of any kind, the machine loses power or the process is killed: from then
//!   on every operation fails, and [`FaultyDisk::after_power_loss`] or [`FaultyDisk::after_kill`] is what is left.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollgate::ledger::{SegmentFile, Storage};

use crate::harness::Dice;

/// What lands on a disk, or not, as one.
const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Write,
    Sync,
    Read,
    Create,
    Remove,
    SyncFolder,
}

use Operation::{Create, Read, Remove, Sync, SyncFolder, Write};

/// When an operation fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// Once, after so many more have worked.
    After(u64),
    /// Until [`FaultyDisk::heal`].
    Always,
}

/// When everything ends.
#[derive(Clone, Copy, Debug)]
enum End {
    InSync(u64),
    AtChange(u64),
}

type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Default)]
struct State {
    contents: HashMap<u64, Content>,
    /// Segment to content: as it is, and as it was at the folder's last sync.
    names: BTreeMap<u64, u64>,
    durable_names: BTreeMap<u64, u64>,
    failing: HashMap<Operation, Failing>,
    done: HashMap<Operation, u64>,
    room: Option<usize>,
    end: Option<End>,
    ended: bool,
    in_sync: Option<Meanwhile>,
    made: u64,
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

struct FaultyFile {
    disk: FaultyDisk,
    content: u64,
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The n-th of these operations from now on fails, 1 being the next.
    pub fn fail_nth(&self, operation: Operation, n: u64) {
        self.state().failing.insert(operation, Failing::After(n - 1));
    }

    /// All of them fail.
    pub fn fail_all(&self, operation: Operation) {
        self.state().failing.insert(operation, Failing::Always);
    }

    /// Nothing fails any more, and there is room.
    pub fn heal(&self) {
        let mut state = self.state();
        state.failing.clear();
        state.room = None;
    }

    /// There is room for so many bytes more.
    pub fn fill(&self, room: usize) {
        self.state().room = Some(room);
    }

    /// The machine loses power in the n-th sync from the disk's making on.
    pub fn lose_power_in_sync(&self, n: u64) {
        self.state().end = Some(End::InSync(n));
    }

    /// The process is killed at the n-th change (write, sync, creation, removal) from the disk's making on.
    pub fn kill_at_change(&self, n: u64) {
        self.state().end = Some(End::AtChange(n));
    }

    /// Whether every failure that was asked for has happened.
    pub fn all_struck(&self) -> bool {
        self.state().failing.is_empty()
    }

    /// Runs once, inside the next sync that works.
    pub fn in_sync(&self, meanwhile: impl FnOnce() + Send + 'static) {
        self.state().in_sync = Some(Box::new(meanwhile));
    }

    /// Whether power was lost or the process killed.
    pub fn ended(&self) -> bool {
        self.state().ended
    }

    /// What another process finds: everything that was written.
    pub fn after_kill(&self) -> Self {
        let state = self.state();
        let kept = State {
            contents: state.contents.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            made: state.made,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(kept)))
    }

    /// What is left after a loss of power: all that was durable, and any part of the rest, as the dice fall.
    pub fn after_power_loss(&self, dice: &mut Dice) -> Self {
        // None, some or all of what was under way.
        let luck = [0, 20, 50, 80, 100][dice.below(5)];
        let state = self.state();
        let mut left = State { made: state.made, ..State::default() };
        let segments: Vec<u64> = state.names.keys().chain(state.durable_names.keys()).copied().collect();
        for segment in segments {
            let (now, before) = (state.names.get(&segment), state.durable_names.get(&segment));
            let Some(content) = (if now == before || dice.percent(luck) { now } else { before }) else {
                continue;
            };
            let bytes = survived(&state.contents[content], luck, dice);
            left.contents.insert(*content, Content { written: bytes.clone(), durable: bytes });
            left.names.insert(segment, *content);
        }
        left.durable_names.clone_from(&left.names);
        Self(Arc::new(Mutex::new(left)))
    }

    /// Changes a segment behind the ledger's back.
    pub fn change(&self, segment: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let content = state.names[&segment];
        change(&mut state.contents.get_mut(&content).expect("a content for each name").written);
    }

    fn open_content(&self, content: u64) -> Arc<dyn SegmentFile> {
        Arc::new(FaultyFile { disk: self.clone(), content })
    }
}

/// The durable bytes with some of the sectors written since.
fn survived(content: &Content, luck: usize, dice: &mut Dice) -> Vec<u8> {
    let (written, durable) = (&content.written, &content.durable);
    let (short, long) = (written.len().min(durable.len()), written.len().max(durable.len()));
    let length = match luck {
        0 => durable.len(),
        100 => written.len(),
        _ => short + dice.below(long - short + 1),
    };
    let mut bytes = durable.clone();
    bytes.resize(length, 0);
    for from in (0..length.min(written.len())).step_by(SECTOR) {
        let to = (from + SECTOR).min(length).min(written.len());
        if dice.percent(luck) {
            bytes[from..to].copy_from_slice(&written[from..to]);
        }
    }
    bytes
}

impl State {
    /// Counts an operation, and says whether it may happen.
    fn attempt(&mut self, operation: Operation) -> io::Result<()> {
        if self.ended {
            return Err(io::Error::other("the machine is off"));
        }
        *self.done.entry(operation).or_default() += 1;
        let done = |operation| self.done.get(&operation).copied().unwrap_or(0);
        let changes = [Write, Sync, Create, Remove, SyncFolder].map(done).iter().sum::<u64>();
        self.ended = match self.end {
            Some(End::InSync(n)) => operation == Sync && done(Sync) == n,
            Some(End::AtChange(n)) => operation != Read && changes == n,
            None => false,
        };
        if self.ended {
            return Err(io::Error::other("the machine went off"));
        }
        match self.failing.get_mut(&operation) {
            Some(Failing::Always) => Err(io::Error::other("it fails on purpose")),
            Some(Failing::After(0)) => {
                self.failing.remove(&operation);
                Err(io::Error::other("it fails on purpose, this once"))
            }
            Some(Failing::After(more)) => {
                *more -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The part of a write for which there is room.
    fn fitting(&mut self, new_bytes: usize) -> usize {
        let Some(room) = &mut self.room else { return new_bytes };
        let fits = new_bytes.min(*room);
        *room -= fits;
        fits
    }
}

impl Storage for FaultyDisk {
    fn list(&self) -> io::Result<Vec<u64>> {
        Ok(self.state().names.keys().copied().collect())
    }

    fn create(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.state();
        state.attempt(Create)?;
        state.made += 1;
        let content = state.made;
        state.contents.insert(content, Content::default());
        let before = state.names.insert(segment, content);
        drop(state);
        assert!(before.is_none(), "segment {segment} is made once");
        Ok(self.open_content(content))
    }

    fn open(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let found = self.state().names.get(&segment).copied();
        found.map(|content| self.open_content(content)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        let mut state = self.state();
        state.attempt(Remove)?;
        state.names.remove(&segment).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.attempt(SyncFolder)?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

impl FaultyFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Content) -> T) -> T {
        let mut state = self.disk.state();
        let mut content = state.contents.remove(&self.content).expect("contents stay");
        let result = act(&mut state, &mut content);
        state.contents.insert(self.content, content);
        result
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, content| {
            if state.ended {
                return Err(io::Error::other("the machine is off"));
            }
            let attempt = state.attempt(Write);
            let offset = usize::try_from(offset).expect("small");
            let whole = if attempt.is_ok() { bytes.len() } else { bytes.len() / 2 };
            let new = (offset + whole).saturating_sub(content.written.len()).min(whole);
            let kept = whole - new + state.fitting(new);
            if kept > 0 {
                let end = content.written.len().max(offset + kept);
                content.written.resize(end, 0);
                content.written[offset..offset + kept].copy_from_slice(&bytes[..kept]);
            }
            attempt?;
            if kept < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state, content| {
            state.attempt(Read)?;
            let from = usize::try_from(offset).expect("small").min(content.written.len());
            let length = into.len().min(content.written.len() - from);
            into[..length].copy_from_slice(&content.written[from..from + length]);
            Ok(length)
        })
    }

    fn sync(&self) -> io::Result<()> {
        let (covered, meanwhile) = self.with(|state, content| {
            state.attempt(Sync)?;
            Ok::<_, io::Error>((content.written.clone(), state.in_sync.take()))
        })?;
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        self.with(|state, content| {
            if state.ended {
                return Err(io::Error::other("the machine went off meanwhile"));
            }
            content.durable = covered;
            Ok(())
        })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.with(|state, content| {
            state.attempt(Write)?;
            content.written.truncate(usize::try_from(length).expect("small"));
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.with(|_, content| content.written.len() as u64))
    }
}
