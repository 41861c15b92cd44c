//! Clients that never rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::config::cost_of;
use super::customer::Customer;
use super::{PATIENCE, until};

/// Costs of 1, 2, 3 and 5 units.
const PATHS: [&str; 4] = ["/signals", "/signals/history/ACME", "/export/csv", "/export/pdf"];

/// Load on the gateway until [`Load::end`]. Every success must say its full cost, and every refusal be a 503.
pub struct Load {
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    charged: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// So many clients, shared among the customers.
    pub fn start(customers: &[Customer], clients: usize) -> Self {
        let counts = Arc::<Counts>::default();
        let clients = (0..clients).map(|at| {
            let customer = customers[at % customers.len()].clone();
            tokio::spawn(ask_on_and_on(customer, at, counts.clone()))
        });
        Self { clients: clients.collect(), counts }
    }

    /// Charged answers so far.
    pub fn charged(&self) -> u64 {
        self.counts.charged.load(Ordering::Relaxed)
    }

    /// 503s so far.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Requests without an answer so far.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Waits for so many more charged answers.
    pub async fn answers(&self, more: u64) {
        let target = self.charged() + more;
        until("requests are charged", PATIENCE, async || (self.charged() >= target).then_some(())).await;
    }

    /// Waits for so many more refusals.
    pub async fn refusals(&self, more: u64) {
        let target = self.refused() + more;
        until("requests are refused", PATIENCE, async || (self.refused() >= target).then_some(())).await;
    }

    pub async fn end(self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no client met anything but charged answers, 503s and lost connections");
        }
    }
}

async fn ask_on_and_on(customer: Customer, client: usize, counts: Arc<Counts>) {
    for turn in client.. {
        if counts.stop.load(Ordering::Relaxed) {
            return;
        }
        let path = PATHS[turn % PATHS.len()];
        let (count, turned_away) = match customer.try_get(path).await {
            Ok(reply) if reply.status == 200 => {
                assert_eq!(reply.charged(), cost_of(path), "a free answer");
                (&counts.charged, false)
            }
            Ok(reply) => {
                assert_eq!(reply.status, 503, "{}", reply.text());
                (&counts.refused, true)
            }
            Err(_) => (&counts.lost, true),
        };
        count.fetch_add(1, Ordering::Relaxed);
        // Whoever is turned away asks again soon, and not at once.
        if turned_away {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
