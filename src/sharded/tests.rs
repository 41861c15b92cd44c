use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;

/// More than there are shards, so that some count in the shared one.
fn more_threads_than_shards() -> usize {
    2 * SHARDS.count
}

#[test]
fn no_addition_is_lost_however_many_threads_add_at_once() {
    // Long enough for the threads to be interrupted within an addition.
    const EACH: u64 = 400_000;
    let cells = Cells::new(3);
    let threads = more_threads_than_shards();
    let all_there = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // Each has taken its shard before the first one gives its own back.
                cells.add(2, 1);
                all_there.wait();
                (0..EACH).for_each(|n| cells.add(usize::from(n % 4 == 0), n));
            });
        }
    });
    let (all, fourth): (u64, u64) = ((0..EACH).sum(), (0..EACH).step_by(4).sum());
    let threads = threads as u64;
    assert_eq!([0, 1, 2].map(|at| cells.sum(at)), [(all - fourth) * threads, fourth * threads, threads]);
}

#[test]
fn what_an_ended_thread_has_added_stays() {
    let cells = Cells::new(1);
    for _ in 0..more_threads_than_shards() {
        thread::scope(|scope| scope.spawn(|| cells.add(0, 1)).join().expect("it adds"));
    }
    assert_eq!(cells.sum(0), more_threads_than_shards() as u64);
}

#[test]
fn a_difference_is_added_as_its_complement() {
    let cells = Cells::new(1);
    cells.add(0, 5);
    thread::scope(|scope| drop(scope.spawn(|| cells.add(0, (-7_i64).cast_unsigned()))));
    assert_eq!(cells.sum(0).cast_signed(), -2);
}

#[test]
fn a_shard_has_one_owner_and_comes_back() {
    let shards = Shards::new(3);
    let mut owned: Vec<_> = (0..5).map(|_| OwnShard::take(&shards)).collect();
    let numbers: Vec<usize> = owned.iter().map(|own| own.number).collect();
    assert_eq!(numbers, [1, 2, 3, SHARED, SHARED], "the last ones share");
    drop(owned.remove(1));
    drop(owned.pop());
    let next = [OwnShard::take(&shards), OwnShard::take(&shards)];
    assert_eq!(next.map(|own| own.number), [2, SHARED]);
}

#[test]
fn threads_share_no_line_and_one_thread_s_cells_do() {
    let shards = Shards::new(4);
    let pieces = [shards.cells(1), shards.cells(17), shards.cells(1)];
    let lines = |shard| {
        let cells = pieces.iter().flat_map(|piece| (0..piece.count).map(|at| piece.cell(shard, at)));
        cells.map(|cell| std::ptr::from_ref(cell).addr() / 128).collect::<HashSet<_>>()
    };
    let by_shard: Vec<HashSet<usize>> = (0..shards.count).map(lines).collect();
    let different: HashSet<usize> = by_shard.iter().flatten().copied().collect();
    assert_eq!(by_shard.iter().map(HashSet::len).collect::<Vec<_>>(), [2; 5]);
    assert_eq!(different.len(), 2 * 5);
    assert_eq!((align_of::<Line>(), size_of::<Line>()), (128, 128), "wherever a block begins");
}

#[test]
fn cells_are_apart_and_take_eight_bytes_of_each_shard() {
    const ROUTES: usize = 200;
    // A histogram and five counters for each route.
    let shards = Shards::new(MAX_SHARDS);
    let cells: Vec<Cells> = (0..ROUTES * 6).map(|n| shards.cells(if n % 6 == 0 { 17 } else { 1 })).collect();
    let places: HashSet<usize> =
        cells.iter().flat_map(|c| (0..c.count).map(|at| std::ptr::from_ref(c.cell(7, at)).addr())).collect();
    assert_eq!(places.len(), ROUTES * 22);
    let blocks: HashSet<usize> = cells.iter().map(|cells| cells.block.as_ptr().addr()).collect();
    assert_eq!(size_of_val(&*cells[0].block), shards.count * BLOCK_CELLS * 8);
    // What is left over at a block's end is less than one histogram.
    assert!(blocks.len() <= (ROUTES * 22).div_ceil(BLOCK_CELLS - 16), "{} blocks", blocks.len());
}

#[test]
fn never_fewer_are_counted_than_run() {
    const EACH: usize = 200_000;
    let running = Running::default();
    running.start();
    let (sender, receiver) = std::sync::mpsc::sync_channel(16);
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let (running, stopped) = (&running, &stopped);
        // They start on one thread and end on another, while somebody counts.
        scope.spawn(move || {
            for _ in 0..EACH {
                running.start();
                sender.send(()).expect("somebody ends them");
            }
        });
        scope.spawn(move || {
            for () in receiver {
                running.end();
            }
            stopped.store(true, Ordering::Relaxed);
        });
        while !stopped.load(Ordering::Relaxed) {
            let count = running.count();
            assert!((1..=EACH as u64 + 1).contains(&count), "{count} beside the one that runs all the time");
        }
    });
    assert_eq!(running.count(), 1);
    running.end();
    assert_eq!(running.count(), 0);
}
