//! Admission with a rate, a quota, overage and a cap, by one thread and by two at once.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tollgate::customers::{Customers, Entry};
use tollgate::domain::idempotency::Limits;
use tollgate::domain::route::Route;
use tollgate::domain::usage::Now;
use tollgate::store::Store;

use super::{NOW, capped};

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
    for threads in [1, 2] {
        let title = format!("admit and release, one customer, {threads} threads");
        c.bench_function(&title, |b| {
            b.iter_custom(|times| at_once(threads, times, |_, now| admit(&one, &route, now)))
        });
        let title = format!("admit and settle, one customer, {threads} threads");
        c.bench_function(&title, |b| {
            b.iter_custom(|times| at_once(threads, times, |_, now| charge(&one, &route, now)))
        });
        let title = format!("find, admit and release, many customers, {threads} threads");
        c.bench_function(&title, |b| {
            b.iter_custom(|times| {
                at_once(threads, times, |at, now| {
                    admit(&customers.get(&names[at]).expect("in memory"), &route, now);
                })
            });
        });
    }
}

fn admit(entry: &Arc<Entry>, route: &Route, now: Now) {
    drop(entry.admit(None, route, None, now).expect("within the limits"));
}

fn charge(entry: &Arc<Entry>, route: &Route, now: Now) {
    let mut reservation = entry.admit(None, route, None, now).expect("within the limits");
    reservation.settle(now).expect("held");
}

/// How long it takes until each of the threads has done its turns.
fn at_once(threads: usize, times: u64, turn: impl Fn(usize, Now) + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let run = |seed: usize| {
        let mut at = seed;
        barrier.wait();
        let started = Instant::now();
        for time in 0..times {
            // Every customer comes up, neighbours never one after the other.
            at = (at + 38_197) % MANY;
            // What a turn takes of the rate is earned back in two microseconds, by each of two threads.
            turn(at, Now(now().nanos() + time * 2_000));
        }
        started.elapsed()
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
