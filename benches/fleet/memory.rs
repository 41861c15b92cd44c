//! What a customer takes in Redis.

use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;
use smol_str::SmolStr;
use tokio::runtime::Runtime;
use tollgate::clock;
use tollgate::domain::lease::{Ask, Call, Pool};
use tollgate::domain::route::Methods;
use tollgate::domain::units::MeterId;
use tollgate::fleet::{FactsKey, Fleet, Lender, Named, Version, Words};

use super::redis_server::Redis;
use super::{asked, member};

/// Calls that are sent together.
const TOGETHER: usize = 512;
/// Facts of a subscription with two items.
const FACTS: usize = 160;

pub fn per_customer() {
    let customers = asked("TOLLGATE_BENCH_CUSTOMERS", 1_000_000);
    Runtime::new().expect("a runtime").block_on(measure(customers));
}

async fn measure(customers: u64) {
    let redis = Redis::start();
    let mut members = Vec::new();
    for name in ["one", "two", "three"] {
        members.push(member::join(&redis, name).await);
    }
    // A Redis that was empty lends nothing for so long.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let empty = redis.memory();
    let told = |what: &str| {
        let bytes = (redis.memory() - empty) as f64 / customers as f64;
        println!("{customers} customers, {what}: {bytes:.0} bytes each");
    };
    let begun = std::time::Instant::now();
    state(&members[0], customers).await;
    println!(
        "{:.1} µs of Redis and this for each of them",
        begun.elapsed().as_micros() as f64 / customers as f64
    );
    told("used on one node");
    put_facts(&members[0], (0..customers).filter(|number| number % 5 == 0)).await;
    told("the same, one in five with a subscription");
    for fleet in &members[1..] {
        state(fleet, customers).await;
    }
    told("used on three nodes, one in five with a subscription");
    put_facts(&members[0], (0..customers).filter(|number| number % 5 != 0)).await;
    told("used on three nodes, all with a subscription");
}

/// Each customer has used some units of one meter here, and holds some more.
async fn state(fleet: &Fleet, customers: u64) {
    let words = Arc::new(Words::new(["api_calls"], [("/signals", &Methods::All)]));
    let numbers: Vec<u64> = (0..customers).collect();
    for numbers in numbers.chunks(TOGETHER) {
        let calls = numbers.iter().map(|number| call(*number, &words)).collect();
        assert!(fleet.settle(calls).await.iter().all(Result::is_ok), "Redis is there");
    }
}

fn call(number: u64, words: &Arc<Words>) -> Named {
    let now = clock::now();
    let ask = Ask {
        pool: Pool::Included(MeterId(0)),
        window: now.seconds() / 86_400 * 86_400,
        used: 1_234 + number % 1_000,
        keep: 2_345,
        least: 2_500,
        want: 2_500,
        limit: 100_000,
        price: 0,
    };
    let call = Call {
        seq: now.nanos() / 1_000_000,
        asks: smallvec![ask],
        rates: smallvec![],
        ended: Vec::new(),
        expires: now.seconds() + 86_400,
        wants_others: false,
        sent: now,
    };
    Named {
        customer: name(number),
        version: Version::NONE,
        call,
        words: words.clone(),
        lots: smallvec![],
        others: Box::default(),
    }
}

async fn put_facts(fleet: &Fleet, customers: impl Iterator<Item = u64>) {
    let facts = [b'x'; FACTS];
    let customers: Vec<FactsKey> = customers.map(|number| FactsKey::Customer(name(number))).collect();
    for some in customers.chunks(128) {
        let put = some.iter().map(|key| fleet.put_facts(key, (Version::NONE, Version::NONE), 0, &facts));
        for put in futures_util::future::join_all(put).await {
            put.expect("Redis is there");
        }
    }
}

fn name(number: u64) -> SmolStr {
    SmolStr::new(format!("user-{number:09}"))
}
