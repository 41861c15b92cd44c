//! One decision about a request, by three means: a limiter in memory that knows nothing of other nodes, a script at Redis
//! for each request, and leases.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Script;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tollgate::clock;
use tollgate::customers::fleet::{Leases, Options};
use tollgate::customers::{Customers, Denied};
use tollgate::domain::idempotency::Limits;
use tollgate::domain::route::Methods;
use tollgate::fleet::{Fleet, Words};
use tollgate::store::Store;

use super::redis_server::Redis;
use super::{asked, capped, member};

const CUSTOMERS: usize = 100;
const AT_ONCE: usize = 64;

/// The least that such a script does: count, compare, take back.
const SCRIPT: &str = "
    local used = redis.call('INCRBY', KEYS[1], ARGV[1])
    if used <= tonumber(ARGV[2]) then return 1 end
    redis.call('DECRBY', KEYS[1], ARGV[1])
    return 0";

pub fn decisions() {
    governor_alone();
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(script_per_request());
    runtime.block_on(leases());
}

/// A rate and nothing else, on one node.
fn governor_alone() {
    let rate = NonZeroU32::new(1_000_000_000).expect("not zero");
    let limiters: Vec<_> =
        (0..CUSTOMERS).map(|_| governor::RateLimiter::direct(governor::Quota::per_second(rate))).collect();
    let (times, begun) = (10_000_000_usize, Instant::now());
    let passed = (0..times).filter(|turn| limiters[turn % CUSTOMERS].check().is_ok()).count();
    let each = begun.elapsed().as_nanos() as f64 / times as f64;
    println!(
        "governor alone: {each:.0} ns a decision, {passed} of {times} passed, no command; each node by itself"
    );
}

async fn script_per_request() {
    let redis = Redis::start();
    let connection = redis.client().get_multiplexed_async_connection().await.expect("it listens");
    for at_once in [1, AT_ONCE] {
        let connection = connection.clone();
        let decide = move |name: String| {
            let mut connection = connection.clone();
            async move {
                let script = Script::new(SCRIPT);
                let mut call = script.key(name);
                let passed: u64 =
                    call.arg(1).arg(1_000_000_000).invoke_async(&mut connection).await.expect("an answer");
                assert_eq!(passed, 1);
            }
        };
        let count = redis.count();
        tell("one EVALSHA a request", at_once, &count_of(at_once, decide).await, count.so_far());
    }
}

async fn leases() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = member::join(&redis, "one").await;
    let options = Options { lease_wait: Duration::from_secs(5), degrades: false };
    let words = Arc::new(Words::new(["api_calls"], [("/signals", &Methods::All)]));
    let leases = Leases::new(fleet.clone(), words, options);
    tokio::spawn(leases.clone().run());
    tokio::spawn(tick(leases.clone(), fleet));
    let store = Arc::new(Store::open(folder.path()).expect("opens"));
    let limits = Limits { keys: 10_000, repeats: 3 };
    let customers =
        Customers::new(Arc::new(capped::catalogue()), store, vec![1], limits, mpsc::unbounded_channel().0);
    let customers = Arc::new(customers.with_fleet(leases));
    // A Redis that was empty lends nothing for so long.
    tokio::time::sleep(member::PUBLISH * 3).await;
    for at_once in [1, AT_ONCE] {
        let customers = customers.clone();
        let decide = move |name: String| {
            let customers = customers.clone();
            async move { decide(&customers, &name).await }
        };
        count_of(at_once, decide.clone()).await;
        let count = redis.count();
        tell("leases", at_once, &count_of(at_once, decide).await, count.so_far());
    }
}

/// Rate, quota, overage and cap.
async fn decide(customers: &Customers, name: &str) {
    let (route, now) = (capped::route(), clock::now());
    let entry = match customers.get(name) {
        Some(entry) => entry,
        None => customers.load(name, None, now).await.expect("loads"),
    };
    let admitted = match entry.admit(None, &route, None, now) {
        Err(Denied::Refill) => customers.admit_with_fleet(&entry, None, &route, None, now).await,
        decided => decided,
    };
    admitted.expect("within the limits").settle(now).expect("held");
}

async fn tick(leases: Arc<Leases>, fleet: Arc<Fleet>) {
    loop {
        tokio::time::sleep(member::PUBLISH).await;
        leases.tick(fleet.is_deaf(), clock::now()).await;
    }
}

/// Nanoseconds of each decision that so many tasks reached, in random order.
async fn count_of<F: Future<Output = ()> + Send>(
    at_once: usize,
    decide: impl Fn(String) -> F + Clone + Send + 'static,
) -> Vec<u64> {
    let until = Instant::now() + Duration::from_secs(asked("TOLLGATE_BENCH_SECONDS", 5));
    let mut tasks = JoinSet::new();
    for task in 0..at_once {
        let decide = decide.clone();
        tasks.spawn(async move {
            let mut nanos = Vec::new();
            let mut turn = task * 7;
            while Instant::now() < until {
                let begun = Instant::now();
                decide(format!("user-{:06}", turn % CUSTOMERS)).await;
                nanos.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
                turn += 1;
                // Others have their turn, as they have between two requests.
                tokio::task::yield_now().await;
            }
            nanos
        });
    }
    tasks.join_all().await.concat()
}

fn tell(what: &str, at_once: usize, nanos: &[u64], commands: u64) {
    let mut sorted = nanos.to_vec();
    sorted.sort_unstable();
    let seconds = asked("TOLLGATE_BENCH_SECONDS", 5);
    println!(
        "{what}, {at_once} at once: p50 {:.2} µs, p99 {:.2}; {} decisions/s; {:.4} commands a decision",
        sorted[sorted.len() / 2] as f64 / 1_000.0,
        sorted[sorted.len() * 99 / 100] as f64 / 1_000.0,
        nanos.len() as u64 / seconds,
        commands as f64 / nanos.len() as f64,
    );
}
