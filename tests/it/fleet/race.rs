//! Clients of one customer who ask all nodes for as much as there is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::harness::{Customer, Dice, PATIENCE, until};

/// Costs of 1, 2, 3 and 5 units.
const PATHS: [&str; 4] = ["/signals", "/signals/history/ACME", "/export/csv", "/export/pdf"];

/// Each client asks until it is refused once. Who gets a 503 or no answer asks again.
pub struct Race {
    counts: Arc<Counts>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    charged: AtomicU64,
    /// What those were charged who asked when somebody had been refused already: the refusal left that much over.
    late: AtomicU64,
    turned_away: AtomicU64,
    refused: Mutex<Option<(u16, String)>>,
}

/// What came of a race.
#[derive(Debug)]
pub struct Outcome {
    /// Units that all were charged.
    pub charged: u64,
    /// Those of it that were granted to who asked before anybody had been refused.
    pub before_refusing: u64,
    /// 503s, and requests without an answer.
    pub turned_away: u64,
    /// Status and code of every refusal.
    pub refusal: (u16, String),
}

impl Race {
    /// `at`: the customer at each node.
    pub fn start(at: &[Customer], clients: usize, dice: &mut Dice) -> Self {
        let counts = Arc::<Counts>::default();
        let clients = (0..clients).map(|client| {
            let customer = at[client % at.len()].clone();
            counts.clone().ask_on_and_on(customer, Dice::seeded(dice.roll()))
        });
        Self { clients: clients.collect(), counts }
    }

    pub fn charged(&self) -> u64 {
        self.counts.charged.load(Ordering::Relaxed)
    }

    pub fn is_over(&self) -> bool {
        self.counts.refusal().is_some()
    }

    /// Waits until so many units are charged, or somebody has been refused.
    pub async fn reaches(&self, units: u64) {
        let reached = async || (self.charged() >= units || self.is_over()).then_some(());
        until("units are charged", PATIENCE, reached).await;
    }

    /// Waits until everybody has been refused.
    pub async fn end(self) -> Outcome {
        let all = tokio::time::timeout(4 * PATIENCE, self.clients.join_all()).await;
        assert!(all.is_ok(), "{} units, and no end", self.counts.charged.load(Ordering::Relaxed));
        let counts = &self.counts;
        let charged = counts.charged.load(Ordering::Relaxed);
        Outcome {
            charged,
            before_refusing: charged - counts.late.load(Ordering::Relaxed),
            turned_away: counts.turned_away.load(Ordering::Relaxed),
            refusal: counts.refusal().expect("whoever is done has been refused"),
        }
    }
}

impl Counts {
    async fn ask_on_and_on(self: Arc<Self>, customer: Customer, mut dice: Dice) {
        loop {
            let is_late = self.refusal().is_some();
            match customer.try_get(PATHS[dice.below(PATHS.len())]).await {
                Ok(reply) if reply.status == 200 => {
                    self.charged.fetch_add(reply.charged(), Ordering::Relaxed);
                    if is_late {
                        self.late.fetch_add(reply.charged(), Ordering::Relaxed);
                    }
                }
                Ok(reply) if reply.status != 503 => {
                    let mut refused = self.refused.lock().expect("no client panics here");
                    let first = refused.get_or_insert_with(|| reply.refusal());
                    assert_eq!(reply.refusal(), *first, "{}", reply.text());
                    return;
                }
                Ok(_) | Err(_) => {
                    self.turned_away.fetch_add(1, Ordering::Relaxed);
                    // Whoever is turned away asks again soon, and not at once.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }

    fn refusal(&self) -> Option<(u16, String)> {
        self.refused.lock().expect("no client panics here").clone()
    }
}

/// Has every node grant single units until each has refused; answers how many there were.
pub async fn the_rest(at: &[Customer]) -> u64 {
    let mut units = 0;
    for customer in at {
        let refuses = async || {
            let reply = customer.get("/signals").await;
            units += reply.charged();
            (reply.status != 200 && reply.status != 503).then_some(())
        };
        until("the rest is used", PATIENCE, refuses).await;
    }
    units
}
