//! Customers at size: what each takes of memory, what a request costs with many of them, and what it takes to load one
//! and to let them go.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tollgate::customers::{Customers, Entry};
use tollgate::domain::idempotency::Limits;
use tollgate::domain::period::Period;
use tollgate::domain::subscription::{Facts, ItemFacts, Status};
use tollgate::domain::usage::Now;
use tollgate::store::Store;

use super::{NOW, asked, resident_bytes, runtime};
use super::{capped, start};

/// Nothing is known of them at Stripe, or each has a subscription there.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    ByName,
    WithSubscription,
}

/// The first half of the table: bytes each, and nanoseconds of a request among so many.
pub fn at_size() {
    let count = asked("TOLLGATE_BENCH_CUSTOMERS", 1_000_000);
    for known in [Known::ByName, Known::WithSubscription] {
        let folder = tempfile::tempdir().expect("a folder");
        println!("{count} customers, {}", words(known));
        populate(folder.path(), count, known);
        let world = World::open(folder.path());
        world.fill(count);
        world.let_go(count);
    }
}

/// The second half: opening a store of many, loading one of them, and the start of the gateway.
pub fn at_start() {
    let count = asked("TOLLGATE_BENCH_CUSTOMERS", 10_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    populate(folder.path(), count, Known::WithSubscription);
    let started = Instant::now();
    let store = Store::open(folder.path()).expect("opens");
    store.folded().expect("reads");
    store.let_estimates_stand().expect("writes");
    store.last_version().expect("reads");
    println!("open a store of {count}: {:.3} s", started.elapsed().as_secs_f64());
    drop(store);
    for known in [None, Some(Known::WithSubscription)] {
        loads(&World::open(folder.path()), count, known);
    }
    sql_alone(folder.path(), count);
    let took = start::until_it_listens(folder.path());
    println!("start the gateway on a store of {count}, until it listens: {:.3} s", took.as_secs_f64());
}

struct World {
    customers: Arc<Customers>,
    runtime: Runtime,
    _unknown: mpsc::UnboundedReceiver<String>,
}

impl World {
    fn open(folder: &Path) -> Self {
        let store = Arc::new(Store::open(folder).expect("opens"));
        let (ask, unknown) = mpsc::unbounded_channel();
        let limits = Limits { keys: 10_000, repeats: 3 };
        let customers = Customers::new(Arc::new(capped::catalogue()), store, vec![1], limits, ask);
        Self { customers: Arc::new(customers), runtime: runtime(), _unknown: unknown }
    }

    fn load(&self, number: u64) -> Arc<Entry> {
        self.runtime.block_on(self.customers.load(&name(number), None, now())).expect("loads")
    }

    /// Loads all, and charges each once; on the way the cost of a request among those there are.
    fn fill(&self, count: u64) {
        let (route, mut half) = (capped::route(), 0);
        for number in 1..=count {
            let entry = self.load(number);
            let mut reservation = entry.admit(None, &route, None, now()).expect("within the limits");
            reservation.settle(now()).expect("held");
            drop(reservation);
            entry.recorded(number);
            if number == count / 2 {
                half = resident_bytes();
            }
            if number == count {
                // The store's own cache is full before the half is there.
                let each = (resident_bytes() - half) as f64 / (count - count / 2) as f64;
                println!("memory of each: {each:.0} bytes");
            }
            if [1_000, 10_000, 100_000, 1_000_000].contains(&number) {
                self.requests(number);
            }
        }
    }

    /// Find, admit, settle and tell the limits, of customers in random order.
    fn requests(&self, among: u64) {
        let (route, currency) = (capped::route(), capped::catalogue().currency);
        let names: Vec<String> = (1..=among).map(name).collect();
        let mut order = Order(7);
        let mut rounds: Vec<f64> = (0..5)
            .map(|_| {
                let asked: Vec<&str> = (0..200_000).map(|_| &*names[order.below(among) as usize]).collect();
                let started = Instant::now();
                for name in &asked {
                    let entry = self.customers.get(name).expect("in memory");
                    let mut reservation = entry.admit(None, &route, None, now()).expect("within the limits");
                    let (_, limits) = reservation.settle_showing(&route, currency, now()).expect("held");
                    assert!(!limits.is_empty());
                }
                started.elapsed().as_secs_f64() * 1e9 / asked.len() as f64
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!("a request among {among}: {:.0} ns ({:.0} to {:.0})", rounds[2], rounds[0], rounds[4]);
    }

    /// Lets all go while somebody asks: how long that one waits at most.
    fn let_go(&self, count: u64) {
        let done = AtomicBool::new(false);
        let later = Now::from_seconds(NOW + 7_200);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| longest_wait(&self.customers, count, &done));
            std::thread::sleep(Duration::from_secs(1));
            done.store(true, Ordering::Relaxed);
            println!("nobody leaves; {}", asking.join().expect("asks"));
            done.store(false, Ordering::Relaxed);
            let asking = scope.spawn(|| longest_wait(&self.customers, count, &done));
            let started = Instant::now();
            self.customers.folded(u64::MAX);
            self.customers.evict(now());
            println!("look through all, nobody leaves: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
            let started = Instant::now();
            self.customers.evict(later);
            println!("let all go: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
            done.store(true, Ordering::Relaxed);
            println!("meanwhile {}", asking.join().expect("asks"));
        });
    }
}

fn longest_wait(customers: &Customers, count: u64, done: &AtomicBool) -> String {
    let (mut order, mut times) = (Order(3), Vec::with_capacity(20_000_000));
    let names: Vec<String> = (0..100_000).map(|_| name(order.below(count) + 1)).collect();
    while !done.load(Ordering::Relaxed) {
        for name in names.iter().take(1_000) {
            let started = Instant::now();
            std::hint::black_box(customers.get(name));
            times.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
    }
    times.sort_unstable();
    let at = |share: f64| f64::from(times[((times.len() - 1) as f64 * share) as usize]) / 1e3;
    format!("a look-up takes {:.2} µs, p99.99 {:.1}, at most {:.0}", at(0.5), at(0.9999), at(1.0))
}

fn loads(world: &World, count: u64, known: Option<Known>) {
    let (mut order, mut times) = (Order(11), Vec::new());
    let what = if known.is_some() { "again, its pages cached" } else { "each from anywhere" };
    // Ten thousand neighbours of one another fit the cache; customers from anywhere need the file's.
    let span = if known.is_some() { 20_000 } else { count };
    let customers = world.customers.clone();
    let task = world.runtime.spawn(async move {
        for _ in 0..20_000 {
            let name = name(order.below(span) + 1);
            if customers.get(&name).is_none() {
                let started = Instant::now();
                customers.load(&name, None, now()).await.expect("loads");
                times.push(started.elapsed().as_secs_f64() * 1e6);
            }
        }
        times.sort_by(f64::total_cmp);
        times
    });
    let times = world.runtime.block_on(task).expect("ran");
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("load one of {count}, {what}: {:.1} µs (median), p99 {:.1} µs", at(0.5), at(0.99));
}

/// The statements of a load, on a connection of their own.
fn sql_alone(folder: &Path, count: u64) {
    let db = rusqlite::Connection::open(folder.join("tollgate.db")).expect("opens");
    db.pragma_update(None, "cache_size", -65_536).expect("sets");
    db.set_prepared_statement_cache_capacity(64);
    let (mut order, mut times) = (Order(5), Vec::new());
    let period = Period::calendar_month(NOW).start;
    for _ in 0..20_000 {
        let name = name(order.below(count) + 1);
        let started = Instant::now();
        let mut query = db
            .prepare_cached("SELECT number, name, stripe_customer FROM customers WHERE name = ?1")
            .expect("sql");
        let (number, stripe_customer) = query
            .query_row([name], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(2)?)))
            .expect("known");
        let mut query = db.prepare_cached("SELECT 1 FROM listed WHERE stripe_customer = ?1").expect("sql");
        query.exists([&stripe_customer]).expect("reads");
        let mut query = db
            .prepare_cached("SELECT facts FROM subscriptions WHERE stripe_customer = ?1 ORDER BY id")
            .expect("sql");
        query.query_row([&stripe_customer], |row| row.get::<_, String>(0)).expect("subscribed");
        let mut query = db
            .prepare_cached(
                "SELECT meter, included + credits + overage FROM totals WHERE customer = ?1 AND period_start = ?2",
            )
            .expect("sql");
        query.exists((number, period)).expect("reads");
        let mut query = db
            .prepare_cached(
                "SELECT key, at, repeats FROM idempotency WHERE customer = ?1 AND at > ?2 ORDER BY at DESC LIMIT ?3",
            )
            .expect("sql");
        query.exists((number, NOW, 100)).expect("reads");
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "its SQL alone: {:.1} µs (median), p99 {:.1} µs",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

/// Customers who have used something this month.
fn populate(folder: &Path, count: u64, known: Known) {
    drop(Store::open(folder).expect("opens"));
    let db = rusqlite::Connection::open(folder.join("tollgate.db")).expect("opens");
    let period = Period::calendar_month(NOW);
    let (start, end) = (period.start, period.end);
    let numbers =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let linked = known == Known::WithSubscription;
    let id = if linked { "printf('cus_%014d', i)" } else { "NULL" };
    db.execute_batch(&format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; BEGIN;
         {numbers} INSERT INTO customers (number, name, stripe_customer, linked_by, linked_at, first_seen)
             SELECT i, printf('user-%09d', i), {id}, iif({linked}, 'claim', NULL), iif({linked}, 1, NULL), 1 FROM n;
         {numbers} INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage,
                                       reportable, sealed, first_at_micros, last_at_micros, sealable)
             SELECT i, 1, {start}, {end}, 1, 0, 2, 3, 3, 0, 1, {linked} FROM n;
         COMMIT;"
    ))
    .expect("room");
    if linked {
        let facts = facts();
        db.execute_batch(&format!(
            "BEGIN;
             {numbers} INSERT INTO listed SELECT {id}, 1 FROM n;
             {numbers} INSERT INTO subscriptions (id, stripe_customer, facts, version)
                 SELECT printf('sub_%014d', i), {id}, '{facts}', i FROM n;
             COMMIT;"
        ))
        .expect("room");
    }
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("writes");
}

fn facts() -> String {
    let period = Period::calendar_month(NOW);
    let item = ItemFacts {
        id: String::new(),
        price: "price_pro".into(),
        lookup_key: None,
        metered: false,
        interval: "month".into(),
        interval_count: 1,
        period_start: period.start,
        period_end: period.end,
        unit_amount: None,
        quantity: None,
    };
    let facts = Facts {
        id: "sub_00000000000001".into(),
        stripe_customer: "cus_00000000000001".into(),
        status: Status::Active,
        items: vec![item],
        billing_cycle_anchor: period.start,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: None,
        trial_start: None,
        trial_end: None,
        currency: None,
        read_at: None,
    };
    serde_json::to_string(&facts).expect("plain values")
}

fn name(number: u64) -> String {
    format!("user-{number:09}")
}

fn now() -> Now {
    Now::from_seconds(NOW)
}

fn words(known: Known) -> &'static str {
    match known {
        Known::ByName => "nothing known of them at Stripe",
        Known::WithSubscription => "each with a Stripe customer and a subscription",
    }
}

/// xorshift64.
struct Order(u64);

impl Order {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}
