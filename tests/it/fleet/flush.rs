//! Redis loses what it knows, under load: the bills stay exact, and limits hold but for what the fleet documents.
//!
//! In each round clients race at all nodes for a hard limit, subscribers who are billed for every unit load them as well,
//! and the fault comes at a random moment. With `deny` nothing is admitted beyond the limit. With `degrade` each node may
//! admit [`ALLOWANCE`] units beyond its claim while nothing is lent.

use std::cell::Cell;
use std::time::Duration;

use super::race::{Race, the_rest};
use super::redis::{Redis, Watched};
use super::world::World;
use crate::harness::{Customer, Dice, Load, setting};

const LIMIT: u64 = 1_000;
const ALLOWANCE: u64 = 30;
const CLIENTS: usize = 12;

/// A fleet under faults.
struct Trial {
    world: World,
    dice: Dice,
    rounds: Vec<Round>,
    billed: Vec<Customer>,
}

/// What came of a race with a fault in it.
#[derive(Debug)]
struct Round {
    overrun: u64,
    turned_away: u64,
}

impl Trial {
    async fn start(test: &str, redis: &str, on_redis_loss: &str) -> Self {
        let config = format!(
            "fleet.on_redis_loss = '{on_redis_loss}'
            [tiers.free]
            included.api_calls = {LIMIT}
            degraded_allowance = {ALLOWANCE}"
        );
        let world = World::on(redis).config(&config).start().await;
        let mut billed = Vec::new();
        for name in ["paying", "paying-too"] {
            billed.extend(world.subscriber(name, "pro").await.0);
        }
        Self { world, dice: Dice::new(test), rounds: Vec::new(), billed }
    }

    /// The next race's customer, and units at a random moment of it.
    fn next(&mut self) -> (Vec<Customer>, u64) {
        let name = format!("racing-{}", self.rounds.len());
        let moment = self.dice.below(usize::try_from(LIMIT).expect("a small number"));
        (self.world.customer(&name), u64::try_from(moment).expect("a small number"))
    }

    /// A race in which the fault comes at a random moment.
    async fn round(&mut self, fault: impl AsyncFnOnce()) {
        let (at, moment) = self.next();
        let race = Race::start(&at, CLIENTS, &mut self.dice);
        race.reaches(moment).await;
        fault().await;
        self.note(race, &at).await;
    }

    async fn note(&mut self, race: Race, at: &[Customer]) {
        let outcome = race.end().await;
        assert_eq!(outcome.refusal, (429, "quota_exceeded".to_owned()));
        let granted = outcome.charged + the_rest(at).await;
        assert!(granted >= LIMIT, "only {granted} of {LIMIT} could be used");
        self.rounds.push(Round { overrun: granted - LIMIT, turned_away: outcome.turned_away });
    }

    /// All books balance, and no race went further beyond its limit than `bound`.
    async fn end(self, what: &str, bound: u64) {
        let worst = self.rounds.iter().map(|round| round.overrun).max().unwrap_or(0);
        let sum: u64 = self.rounds.iter().map(|round| round.overrun).sum();
        let turned_away: u64 = self.rounds.iter().map(|round| round.turned_away).sum();
        let rounds = self.rounds.len();
        println!(
            "{what}, {rounds} races for {LIMIT} units: at most {worst} beyond it (bound {bound}), {sum} in all; \
             {turned_away} times 503"
        );
        assert!(worst <= bound, "{worst} units beyond the limit");
        for name in ["paying", "paying-too"] {
            assert_eq!(self.world.seen_of(name).1, 0, "no answer broke off");
        }
        self.world.finish().await;
    }
}

/// What a policy allows beyond a limit while nothing is lent: [`ALLOWANCE`] at each of three nodes, or nothing.
const POLICIES: [(&str, u64); 2] = [("deny", 0), ("degrade", 3 * ALLOWANCE)];

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_flushed_each_second_costs_no_bill_and_no_limit() {
    for (policy, bound) in POLICIES {
        let redis = Redis::start().await;
        let mut trial = Trial::start("flushed_each_second", &redis.url(), policy).await;
        let load = Load::start(&trial.billed, 6);
        let flushes = Cell::new(0);
        let flushing = async {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                let () = redis.ask(&["FLUSHALL"]).await;
                flushes.set(flushes.get() + 1);
            }
        };
        let racing = async {
            while flushes.get() < setting("TOLLGATE_TEST_ROUNDS", 5) {
                trial.round(async || {}).await;
            }
        };
        tokio::select! {
            () = flushing => {}
            () = racing => {}
        }
        let charged = load.charged();
        load.end().await;
        trial.end(&format!("{policy}, {} times FLUSHALL, {charged} billed requests", flushes.get()), bound).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back_empty_costs_no_bill_and_no_limit() {
    for (policy, bound) in POLICIES {
        let mut redis = Redis::start().await;
        let mut trial = Trial::start("killed_and_empty", &redis.url(), policy).await;
        let load = Load::start(&trial.billed, 6);
        for _ in 0..setting("TOLLGATE_TEST_ROUNDS", 3) {
            trial.round(async || redis.restart().await).await;
        }
        let charged = load.charged();
        load.end().await;
        trial.end(&format!("{policy}, Redis killed, {charged} billed requests"), bound).await;
    }
}

/// The replica stands still for a while before the master dies: what was written in between is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_the_last_writes_costs_no_bill_and_little_of_a_limit() {
    for (policy, allowed) in POLICIES {
        let mut watched = Watched::start().await;
        let mut trial = Trial::start("failover", &watched.url(), policy).await;
        let load = Load::start(&trial.billed, 6);
        let (at, moment) = trial.next();
        let race = Race::start(&at, CLIENTS, &mut trial.dice);
        race.reaches(moment / 2).await;
        watched.replica.pause();
        let lost_since = race.charged();
        race.reaches(lost_since + 200).await;
        watched.master.kill();
        watched.replica.resume();
        trial.note(race, &at).await;
        let charged = load.charged();
        load.end().await;
        // Nothing is lent but of what was left then.
        let bound = allowed + LIMIT.saturating_sub(lost_since);
        trial.end(&format!("{policy}, a failover, {charged} billed requests"), bound).await;
    }
}
