//! Admission with a rate, a quota, overage and a cap, by one thread and by two at once.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tollgate::customers::{Customers, Entry, Reservation};
use tollgate::domain::idempotency::Limits;
use tollgate::domain::usage::Now;
use tollgate::store::Store;

use super::{NOW, capped};

/// Reservations that a thread holds at once.
const BATCH: usize = 64;
/// More than fit the processor's caches.
const MANY: usize = 100_000;

pub fn admission(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (runtime, customers) = (Runtime::new().expect("a runtime"), customers(&folder));
    let names: Vec<String> = (0..MANY).map(|number| format!("user-{number:09}")).collect();
    for name in &names {
        runtime.block_on(customers.load(name, None, now())).expect("loads");
    }
    let (one, route) = (customers.get(&names[0]).expect("in memory"), capped::route());
    let entries: Vec<_> = names.iter().filter_map(|name| customers.get(name)).collect();
    let currency = capped::catalogue().currency;
    let admit = |entry: &Arc<Entry>, now| entry.admit(None, &route, None, now).expect("within the limits");
    // The name of whoever asks has just been read out of their token.
    let read_name = |turn: usize| {
        black_box(names[turn].bytes().last());
    };
    let find = |turn: usize| customers.get(&names[turn]).expect("in memory");
    let charge = |entry: &Arc<Entry>, now| {
        let mut reservation = admit(entry, now);
        reservation.settle_showing(&route, currency, now).expect("held");
        reservation
    };
    for threads in [1, 2] {
        let mut bench = |what: &str, turn: &(dyn Fn(usize, Now) -> Reservation + Sync)| {
            c.bench_function(&format!("{what}, {threads} at once"), |b| {
                b.iter_custom(|times| at_once(threads, times, &read_name, turn));
            });
        };
        bench("admit, one customer", &|_, now| admit(&one, now));
        bench("admit, settle and show the limits, one customer", &|_, now| charge(&one, now));
        bench("admit, many customers", &|turn, now| admit(&entries[turn], now));
        bench("find and admit, many customers", &|turn, now| admit(&find(turn), now));
        bench("find, admit, settle and show the limits, many customers", &|turn, now| {
            charge(&find(turn), now)
        });
    }
}

/// What the turns take until each of the threads has done its own. What is read before, and giving the reservations
/// back, are not counted.
fn at_once(
    threads: usize,
    times: u64,
    before: &(dyn Fn(usize) + Sync),
    turn: &(dyn Fn(usize, Now) -> Reservation + Sync),
) -> Duration {
    let barrier = &Barrier::new(threads);
    let run = |mut at: usize| {
        let (mut spent, mut left) = (Duration::ZERO, times);
        let mut held = Vec::with_capacity(BATCH);
        barrier.wait();
        while left > 0 {
            let batch = usize::try_from(left).map_or(BATCH, |left| left.min(BATCH));
            // Every customer comes up, neighbours never one after the other.
            let who: Vec<usize> = (1..=batch).map(|turn| (at + turn * 38_197) % MANY).collect();
            who.iter().copied().for_each(&before);
            let started = Instant::now();
            held.extend(who.iter().map(|at| turn(*at, now())));
            spent += started.elapsed();
            at = who.last().copied().unwrap_or(at);
            left -= batch as u64;
            held.clear();
        }
        spent
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread * 7_919))).collect();
        threads.into_iter().map(|thread| thread.join().expect("ran")).max().unwrap_or_default()
    })
}

fn customers(folder: &tempfile::TempDir) -> Customers {
    let store = Arc::new(Store::open(folder.path()).expect("opens"));
    let limits = Limits { keys: 10_000, repeats: 3 };
    Customers::new(Arc::new(capped::catalogue()), store, vec![1], limits, mpsc::unbounded_channel().0)
}

fn now() -> Now {
    Now::from_seconds(NOW)
}
