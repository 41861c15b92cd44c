//! Numbers that all threads change and few read, without a cache line between the threads.
//!
//! # What it promises
//!
//! - Threads share no cache line while no more of them count than there are shards: twice the cores.
//! - Nothing is lost. Once the threads that count are quiet a sum is exact, whichever of them have ended since;
//!   until then it holds each addition or does not.
//! - [`Running`] never says fewer than run.
//! - A cell takes 8 bytes in each shard, however many threads come and go.
//!
//! # How
//!
//! A shard belongs to one living thread, so that adding is a load and a store and needs no locked instruction. A
//! thread that finds no shard free adds atomically to the shared one. A thread's cells lie side by side, those taken
//! one after the other mostly in one line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::{fmt, thread};

/// Processors fetch their lines of 64 bytes in pairs: a line here is 128.
const LINE_CELLS: usize = 16;
/// Lines that each shard has in one block: 4 KiB.
const BLOCK_LINES: usize = 32;
const BLOCK_CELLS: usize = LINE_CELLS * BLOCK_LINES;
/// The shard of the threads that found no other free.
const SHARED: usize = 0;
/// Shards beside the shared one: cells are small, so that threads which seldom count may well have one.
const SHARDS_PER_CORE: usize = 2;
const MIN_SHARDS: usize = 8;
const MAX_SHARDS: usize = 256;

static SHARDS: LazyLock<Shards> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Shards::new((cores * SHARDS_PER_CORE).clamp(MIN_SHARDS, MAX_SHARDS))
});

thread_local! {
    static OWN: OwnShard<'static> = OwnShard::take(&SHARDS);
}

/// A thread's shard, given back when the thread ends.
struct OwnShard<'a> {
    shards: &'a Shards,
    number: usize,
}

/// Who has which shard, and the cells that nobody has yet.
struct Shards {
    /// The shared one included.
    count: usize,
    /// Of no thread; the next one is the last.
    free: Mutex<Vec<usize>>,
    /// The newest block, and how many of its cells are taken.
    newest: Mutex<(Block, usize)>,
}

/// The lines of every shard, shard after shard.
type Block = Arc<[Line]>;

#[derive(Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE_CELLS]);

/// The calling thread's shard, below [`shards`]: for what threads keep apart in other ways. Some may have the same.
pub fn own_shard() -> usize {
    OWN.try_with(|own| own.number).unwrap_or(SHARED)
}

/// How many shards there are.
pub fn shards() -> usize {
    SHARDS.count
}

/// Numbers of one purpose, at zero at first. Clones are the same cells.
#[derive(Clone)]
pub struct Cells {
    block: Block,
    first: usize,
    count: usize,
}

/// How many of something run now; each may end on another thread than it started on.
pub struct Running(Cells);

impl Cells {
    /// # Panics
    /// When they are more than 512.
    pub fn new(count: usize) -> Self {
        SHARDS.cells(count)
    }

    /// Adds to one of the cells, wrapping: a difference is added as its two's complement.
    #[inline]
    pub fn add(&self, at: usize, value: u64) {
        self.add_ordered(at, value, Ordering::Relaxed);
    }

    /// What all threads have added to one of the cells.
    pub fn sum(&self, at: usize) -> u64 {
        self.sum_ordered(at, Ordering::Relaxed)
    }

    #[inline]
    fn add_ordered(&self, at: usize, value: u64, order: Ordering) {
        // While a thread ends it may count once more after it has given its shard back.
        let shard = own_shard();
        let cell = self.cell(shard, at);
        if shard == SHARED {
            cell.fetch_add(value, order);
        } else {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(value), order);
        }
    }

    fn sum_ordered(&self, at: usize, order: Ordering) -> u64 {
        let shards = self.block.len() / BLOCK_LINES;
        (0..shards).map(|shard| self.cell(shard, at).load(order)).fold(0, u64::wrapping_add)
    }

    #[inline]
    fn cell(&self, shard: usize, at: usize) -> &AtomicU64 {
        debug_assert!(at < self.count, "cell {at} of {}", self.count);
        let at = self.first + at;
        &self.block[shard * BLOCK_LINES + at / LINE_CELLS].0[at % LINE_CELLS]
    }
}

impl Running {
    const STARTED: usize = 0;
    const ENDED: usize = 1;

    /// One starts. Sequentially consistent: of a thread that starts and then looks at a flag, and one that sets the
    /// flag and then counts, at least one sees the other, if both treat the flag so too.
    #[inline]
    pub fn start(&self) {
        self.0.add_ordered(Self::STARTED, 1, Ordering::SeqCst);
    }

    /// One that started ends.
    #[inline]
    pub fn end(&self) {
        self.0.add_ordered(Self::ENDED, 1, Ordering::Release);
    }

    /// At least as many as have started before and not ended yet.
    pub fn count(&self) -> u64 {
        // The ends first: whoever's end is counted has its start counted as well.
        let ended = self.0.sum_ordered(Self::ENDED, Ordering::Acquire);
        self.0.sum_ordered(Self::STARTED, Ordering::SeqCst).wrapping_sub(ended)
    }
}

impl Default for Running {
    fn default() -> Self {
        Self(Cells::new(2))
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Running").field(&self.count()).finish()
    }
}

impl Shards {
    fn new(owned: usize) -> Self {
        let count = owned + 1;
        let free = (0..count).rev().filter(|shard| *shard != SHARED).collect();
        Self { count, free: Mutex::new(free), newest: Mutex::new((new_block(count), 0)) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cells(&self, count: usize) -> Cells {
        assert!(count <= BLOCK_CELLS, "{count} cells in one piece");
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let (block, taken) = &mut *newest;
        if *taken + count > BLOCK_CELLS {
            (*block, *taken) = (new_block(self.count), 0);
        }
        let first = *taken;
        *taken += count;
        Cells { block: block.clone(), first, count }
    }
}

fn new_block(shards: usize) -> Block {
    (0..shards * BLOCK_LINES).map(|_| Line::default()).collect()
}

impl<'a> OwnShard<'a> {
    /// A shard that no other thread has, or the shared one.
    fn take(shards: &'a Shards) -> Self {
        Self { shards, number: shards.free().pop().unwrap_or(SHARED) }
    }
}

impl Drop for OwnShard<'_> {
    /// The lock shows the next owner all that this one has added.
    fn drop(&mut self) {
        if self.number != SHARED {
            self.shards.free().push(self.number);
        }
    }
}

#[cfg(test)]
mod tests;
