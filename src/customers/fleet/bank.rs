//! A lender in memory that does what Redis would.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use smol_str::SmolStr;
use tokio::sync::{Semaphore, mpsc};

use crate::domain::lease::{Ask, Lent, Pool, RateLent, Settled};
use crate::fleet::{Answered, Lender, LinkState, Named, Unsettled};

/// What each node holds and has used.
type Claims = HashMap<u32, (u64, u64)>;

/// What all nodes share: claims and use by customer, pool and node.
#[derive(Default)]
pub(super) struct Bank {
    pub(super) pools: Mutex<HashMap<(SmolStr, Pool, i64), Claims>>,
    /// How often it was asked, and for how many.
    pub(super) asked: AtomicUsize,
    pub(super) customers: AtomicUsize,
    pub(super) away: AtomicBool,
    /// Whose server is away, where the others are there.
    pub(super) away_for: Mutex<Vec<SmolStr>>,
    pub(super) rests: AtomicBool,
    /// Who is asked to give back.
    pub(super) recalls: Mutex<Vec<(u32, mpsc::UnboundedSender<SmolStr>)>>,
}

pub(super) struct Teller {
    pub(super) bank: Arc<Bank>,
    pub(super) slot: u32,
    /// Answers go through one by one where it has permits.
    pub(super) gate: Arc<Semaphore>,
    pub(super) state: Mutex<LinkState>,
}

impl Bank {
    fn settle(&self, slot: u32, named: &Named) -> Answered {
        let lends = !self.rests.load(Ordering::SeqCst);
        let settle = |ask| self.ask(slot, &named.customer, ask, lends);
        let asks = named.call.asks.iter().map(settle).collect();
        let permits = |left: u32, want: u32| RateLent {
            more: want.saturating_sub(left) + 1_000,
            free: 1_000,
            wait_millis: 0,
        };
        let rates = named.call.rates.iter().map(|ask| permits(ask.left, ask.want)).collect();
        let settled = Settled::Lent { asks, rates, lends };
        Answered { version: named.version, settled, facts: None, others: Box::default() }
    }

    fn ask(&self, slot: u32, customer: &SmolStr, ask: &Ask, lends: bool) -> Lent {
        let mut pools = self.pools.lock().expect("whole");
        let nodes = pools.entry((customer.clone(), ask.pool, ask.window)).or_default();
        let others = || nodes.iter().filter(|(node, _)| **node != slot).map(|(_, claim)| *claim);
        let held: u64 = others().map(|(held, used)| held.max(used)).sum();
        let used: u64 = others().map(|(_, used)| used).sum();
        let free = ask.limit.saturating_sub(held + ask.keep);
        let more = ask
            .want
            .saturating_sub(ask.keep)
            .min((free / 4).max(ask.least.saturating_sub(ask.keep)))
            .min(free);
        let claim = ask.keep + if lends { more } else { 0 };
        if claim < ask.least && held > used {
            for (_, recall) in self.recalls.lock().expect("whole").iter().filter(|(node, _)| *node != slot) {
                recall.send(customer.clone()).expect("heard");
            }
        }
        nodes.insert(slot, (claim, ask.used));
        let free = ask.limit.saturating_sub(held + claim);
        Lent { held: claim, used_by_all: used + ask.used, free, unused_by_others: held - used }
    }

    /// Of all nodes: claims and use of the included units.
    pub(super) fn of(&self, customer: &str) -> (u64, u64) {
        let pools = self.pools.lock().expect("whole");
        let of_it =
            pools.iter().filter(|((name, pool, _), _)| name == customer && matches!(pool, Pool::Included(_)));
        of_it
            .flat_map(|(_, nodes)| nodes.values())
            .fold((0, 0), |sum, claim| (sum.0 + claim.0, sum.1 + claim.1))
    }
}

impl Lender for Teller {
    fn settle(&self, calls: Vec<Named>) -> BoxFuture<'_, Vec<Result<Answered, Unsettled>>> {
        Box::pin(async move {
            self.bank.asked.fetch_add(1, Ordering::SeqCst);
            self.bank.customers.fetch_add(calls.len(), Ordering::SeqCst);
            self.gate.acquire().await.expect("open").forget();
            self.gate.add_permits(1);
            let is_away = |named: &Named| {
                self.bank.away.load(Ordering::SeqCst)
                    || self.bank.away_for.lock().expect("whole").contains(&named.customer)
            };
            let answer = |named: &Named| {
                if is_away(named) { Err(Unsettled::Away) } else { Ok(self.bank.settle(self.slot, named)) }
            };
            calls.iter().map(answer).collect()
        })
    }

    fn state(&self) -> LinkState {
        *self.state.lock().expect("whole")
    }

    fn nodes(&self) -> u32 {
        2
    }
}
