//! Limits hold over all nodes, and all of them can be used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::JoinSet;

use super::redis::Redis;
use super::world::World;
use crate::harness::{Customer, Dice, Reply, setting};

const CLIENTS: usize = 96;
/// Costs of 1, 2, 3 and 5 units.
const PATHS: [&str; 4] = ["/signals", "/signals/history/ACME", "/export/csv", "/export/pdf"];

/// Clients of one customer who ask all nodes as fast as they can, each until it is refused once.
#[derive(Default)]
struct Race {
    /// What all have been charged.
    charged: AtomicU64,
    /// What those were charged who asked when somebody had been refused already: the refusal left that much over.
    late: AtomicU64,
    refused: Mutex<Option<(u16, String)>>,
}

impl Race {
    /// `at`: the customer at each node.
    async fn run(at: &[Customer], dice: &mut Dice) -> Arc<Self> {
        let race = Arc::<Self>::default();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (race, customer) = (race.clone(), at[client % at.len()].clone());
            clients.spawn(race.ask_on_and_on(customer, Dice::seeded(dice.roll())));
        }
        clients.join_all().await;
        race
    }

    async fn ask_on_and_on(self: Arc<Self>, customer: Customer, mut dice: Dice) {
        loop {
            let is_late = self.refusal().is_some();
            let reply = customer.get(PATHS[dice.below(PATHS.len())]).await;
            if reply.status != 200 {
                self.note(&reply);
                return;
            }
            self.charged.fetch_add(reply.charged(), Ordering::Relaxed);
            if is_late {
                self.late.fetch_add(reply.charged(), Ordering::Relaxed);
            }
        }
    }

    fn note(&self, reply: &Reply) {
        let mut refused = self.refused.lock().expect("no client panics here");
        let first = refused.get_or_insert_with(|| reply.refusal());
        assert_eq!(reply.refusal(), *first, "{}", reply.text());
    }

    fn refusal(&self) -> Option<(u16, String)> {
        self.refused.lock().expect("no client panics here").clone()
    }

    fn charged(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }

    /// Units granted to those who asked before anybody had been refused.
    fn before_refusing(&self) -> u64 {
        self.charged() - self.late.load(Ordering::Relaxed)
    }
}

/// Has every node grant single units until each has refused; answers how many there were.
async fn the_rest(at: &[Customer]) -> u64 {
    let mut units = 0;
    for customer in at {
        loop {
            let reply = customer.get("/signals").await;
            if reply.status != 200 {
                break;
            }
            units += reply.charged();
        }
    }
    units
}

/// Races for `limit` units until all are used; answers how many were granted before the first refusal.
async fn use_up(at: &[Customer], limit: u64, refusal: (u16, &str), dice: &mut Dice) -> u64 {
    let race = Race::run(at, dice).await;
    assert_eq!(race.refusal(), Some((refusal.0, refusal.1.to_owned())));
    let all = race.charged() + the_rest(at).await;
    assert_eq!(all, limit, "granted in all (left) of the limit (right)");
    let before = race.before_refusing();
    assert!(before * 100 >= limit * 99, "refused when {before} of {limit} had been granted");
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_grant_all_of_a_hard_limit_and_never_more() {
    const LIMIT: u64 = 1_000;
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config("tiers.free.included.api_calls = 1000").start().await;
    let mut dice = Dice::new("three_nodes_grant_all_of_a_hard_limit_and_never_more");
    let rounds = setting("TOLLGATE_TEST_ROUNDS", 5);
    let mut least = LIMIT;
    for round in 0..rounds {
        let at = world.customer(&format!("acme-{round}"));
        least = least.min(use_up(&at, LIMIT, (429, "quota_exceeded"), &mut dice).await);
    }
    println!("{rounds} rounds: at least {least} of {LIMIT} units before the first refusal, and never more");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_spend_a_cap_to_its_last_cent_and_no_further() {
    const CAPPED: &str = r#"
        [tiers.starter]
        included = { api_calls = 100 }
        overage = { unit_amount = { api_calls = "0.03" }, cap = "12.00" }
    "#;
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(CAPPED).start().await;
    let mut dice = Dice::new("three_nodes_spend_a_cap_to_its_last_cent_and_no_further");
    let (at, subscribed) = world.subscriber("capped", "starter").await;
    use_up(&at, 500, (402, "spend_cap_reached"), &mut dice).await;
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 500);
    world.finish().await;
}

/// When a request that was admitted was sent, and answered.
type Span = (Instant, Instant);

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_never_pass_a_rate() {
    const RATE: f64 = 100.0;
    const BURST: f64 = 40.0;
    let redis = Redis::start().await;
    let config =
        "tiers.free.rate = '100/s'\ntiers.free.burst = 40\ntiers.free.included.api_calls = 'unlimited'";
    let world = World::on(&redis.url()).config(config).start().await;
    let at = world.customer("hasty");
    let admitted = Arc::new(Mutex::new(Vec::<Span>::new()));
    let mut clients = JoinSet::new();
    for client in 0..12 {
        clients.spawn(hurry(at[client % at.len()].clone(), admitted.clone()));
    }
    clients.join_all().await;
    let admitted = admitted.lock().expect("no client panics here");
    assert_within(&admitted, BURST, RATE);
    world.finish().await;
}

/// Asks until 400 requests of all clients have been admitted.
async fn hurry(customer: Customer, admitted: Arc<Mutex<Vec<Span>>>) {
    loop {
        let sent = Instant::now();
        let reply = customer.get("/signals").await;
        let mut admitted = admitted.lock().expect("no client panics here");
        if reply.status == 200 {
            admitted.push((sent, Instant::now()));
        } else {
            assert_eq!(reply.refusal(), (429, "rate_limited".to_owned()));
        }
        if admitted.len() >= 400 {
            return;
        }
    }
}

/// What was sent and answered within any span was admitted in it.
fn assert_within(admitted: &[Span], burst: f64, rate: f64) {
    let mut worst = f64::MIN;
    for (from, _) in admitted {
        let mut ends: Vec<_> =
            admitted.iter().filter(|(sent, _)| sent >= from).map(|(_, answered)| *answered).collect();
        ends.sort_unstable();
        for (count, end) in (1_u32..).zip(ends) {
            let allowed = burst + rate * end.duration_since(*from).as_secs_f64();
            worst = worst.max(f64::from(count) - allowed);
        }
    }
    let first = admitted.iter().map(|(sent, _)| sent).min().expect("some were admitted");
    let last = admitted.iter().map(|(_, answered)| answered).max().expect("some were admitted");
    let possible = burst + rate * last.duration_since(*first).as_secs_f64();
    println!("{} of {possible:.0} possible requests; {:.1} below the rate at least", admitted.len(), -worst);
    assert!(worst <= 0.0, "{worst} requests beyond the rate");
}
