//! A fleet under faults: clients race at all nodes for a hard limit, subscribers who are billed for every unit load them
//! as well, and a fault comes at a random moment.

use super::race::{Race, the_rest};
use super::world::{Builder, World};
use crate::harness::{Customer, Dice, Load};

pub const LIMIT: u64 = 1_000;
pub const ALLOWANCE: u64 = 30;
pub const CLIENTS: usize = 12;

/// A fleet, with load on it, that is to be broken.
pub struct Trial {
    pub world: World,
    pub dice: Dice,
    pub load: Load,
    rounds: Vec<Round>,
}

/// What came of a race with a fault in it.
#[derive(Debug)]
struct Round {
    overrun: u64,
    turned_away: u64,
}

impl Trial {
    pub async fn start(test: &str, fleet: Builder, on_redis_loss: &str) -> Self {
        let config = format!(
            "fleet.on_redis_loss = '{on_redis_loss}'
            [tiers.free]
            included.api_calls = {LIMIT}
            degraded_allowance = {ALLOWANCE}
            [tiers.pro]
            # Whoever is in the overage needs nothing of Redis, and is never refused.
            included.api_calls = 1_000_000"
        );
        let world = fleet.config(&config).start().await;
        let mut billed = Vec::new();
        for name in ["paying", "paying-too"] {
            billed.extend(world.subscriber(name, "pro").await.0);
        }
        let load = Load::start(&billed, 6);
        Self { world, dice: Dice::new(test), load, rounds: Vec::new() }
    }

    /// The next race's customer, and units at a random moment of it.
    pub fn next(&mut self) -> (Vec<Customer>, u64) {
        let name = format!("racing-{}", self.rounds.len());
        let moment = self.dice.below(usize::try_from(LIMIT).expect("a small number"));
        (self.world.customer(&name), u64::try_from(moment).expect("a small number"))
    }

    /// A race in which the fault comes at a random moment.
    pub async fn round(&mut self, fault: impl AsyncFnOnce(&Load)) {
        let (at, moment) = self.next();
        let race = Race::start(&at, CLIENTS, &mut self.dice);
        race.reaches(moment).await;
        fault(&self.load).await;
        self.note(race, &at).await;
    }

    /// Takes a race to its end, and uses up what is left then.
    pub async fn note(&mut self, race: Race, at: &[Customer]) {
        let outcome = race.end().await;
        assert_eq!(outcome.refusal, (429, "quota_exceeded".to_owned()));
        let granted = outcome.charged + the_rest(at).await;
        assert!(granted >= LIMIT, "only {granted} of {LIMIT} could be used");
        self.rounds.push(Round { overrun: granted - LIMIT, turned_away: outcome.turned_away });
    }

    /// All books balance, and no race went further beyond its limit than `bound`.
    pub async fn end(self, what: &str, bound: u64) {
        let worst = self.rounds.iter().map(|round| round.overrun).max().unwrap_or(0);
        let sum: u64 = self.rounds.iter().map(|round| round.overrun).sum();
        let turned_away: u64 = self.rounds.iter().map(|round| round.turned_away).sum();
        let rounds = self.rounds.len();
        let billed = self.load.charged();
        self.load.end().await;
        eprintln!(
            "{what}: {billed} billed requests, {rounds} races for {LIMIT} units: at most {worst} beyond it (bound {bound}), \
             {sum} in all; {turned_away} times 503"
        );
        assert!(worst <= bound, "{worst} units beyond the limit");
        for name in ["paying", "paying-too"] {
            assert_eq!(self.world.seen_of(name).1, 0, "no answer broke off");
        }
        self.world.finish().await;
    }
}

/// What a policy allows beyond a limit while nothing is lent: [`ALLOWANCE`] at each of three nodes, or nothing.
pub const POLICIES: [(&str, u64); 2] = [("deny", 0), ("degrade", 3 * ALLOWANCE)];
