//! One node of a simulated fleet: an account in memory, and what its disk has.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::smallvec;

use super::super::book::{Entry, Version};
use super::super::{Call, Pool};
use crate::domain::account::tests::{API, MONTH, entitlement, tier};
use crate::domain::account::{Account, Window};
use crate::domain::credits::Lot;
use crate::domain::rate::Rate;
use crate::domain::tier::Overage;
use crate::domain::usage::{Charge, Now, Unbilled};

/// What a customer has: included units, beyond those an overage up to a cap, and grants.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) version: Version,
    pub(super) included: u64,
    pub(super) overage: Overage,
    /// Units that the cap has room for.
    pub(super) beyond: u64,
    pub(super) rate: Option<Rate>,
}

pub(super) struct Node {
    /// `None` while it is down.
    pub(super) account: Option<Account>,
    pub(super) version: Version,
    /// Counts its lives: nothing that was meant for an earlier one reaches it.
    pub(super) life: u32,
    /// Of the marker.
    pub(super) seen: Option<(u64, u64)>,
    /// The marker whose life it must put back what it knows into.
    pub(super) owes: Option<u64>,
    pub(super) others: Vec<(u32, Entry)>,
    pub(super) in_flight: Vec<u64>,
    /// Requests that wait: their costs, and until when.
    pub(super) waiting: Vec<(u64, u64)>,
    pub(super) under_way: Option<Call>,
    /// Neither heard nor hearing until then.
    pub(super) cut_until: u64,
    /// Never comes back from then on.
    pub(super) lost_at: Option<u64>,
    pub(super) quiet_since: u64,
    pub(super) charges: Vec<Charge>,
    /// Units taken back that have not been used again, since the terms changed.
    pub(super) undone: u64,
    /// On its disk.
    billed: u64,
    credits: u64,
    spent: BTreeMap<i64, u64>,
}

impl Node {
    pub(super) fn new(version: Version) -> Self {
        Self {
            account: None,
            version,
            life: 0,
            seen: None,
            owes: None,
            others: Vec::new(),
            in_flight: Vec::new(),
            waiting: Vec::new(),
            under_way: None,
            cut_until: 0,
            lost_at: None,
            quiet_since: 0,
            charges: Vec::new(),
            undone: 0,
            billed: 0,
            credits: 0,
            spent: BTreeMap::new(),
        }
    }

    /// Reads the customer from its disk, as it was when the process began.
    pub(super) fn load(&mut self, terms: &Terms, grants: &[(i64, u64)]) -> &mut Account {
        if self.account.is_none() {
            let mut window = Window::new(MONTH, smallvec![self.billed]);
            window.add_unbilled(API, Unbilled { credits: self.credits, ..Unbilled::default() });
            let left =
                grants.iter().map(|(grant, units)| (*grant, units - self.spent.get(grant).unwrap_or(&0)));
            let lots = left.map(|(grant, units)| Lot { grant, units, expires_at: None });
            let lots = lots.filter(|lot| lot.units > 0).collect();
            let account = Account::new(entitlement(of(terms)), window).with_credits(lots).with_share(grants);
            self.account = Some(account);
            self.version = terms.version;
        }
        self.account.as_mut().expect("loaded")
    }

    /// The process ends; what was in flight ends with it.
    pub(super) fn crash(&mut self) {
        self.account = None;
        self.life += 1;
        (self.seen, self.owes, self.under_way) = (None, None, None);
        self.others.clear();
        self.in_flight.clear();
        self.waiting.clear();
    }

    pub(super) fn settle(&mut self, place: usize, now: Now) {
        let cost = self.in_flight.swap_remove(place);
        let Some(account) = &mut self.account else { return };
        let charge = account.settle(&crate::domain::account::tests::route(cost).cost, None, now);
        for draw in &charge.draws {
            self.billed += draw.billed();
            self.credits += draw.credits;
        }
        for lot in &charge.lots {
            *self.spent.entry(lot.grant).or_default() += lot.units;
        }
        self.charges.push(charge);
    }

    pub(super) fn undo(&mut self, place: usize, now: Now) {
        let charge = self.charges.swap_remove(place);
        let Some(account) = &mut self.account else { return };
        account.undo(&charge, now);
        self.undone += charge.draws.iter().map(|draw| draw.units()).sum::<u64>();
        for draw in &charge.draws {
            self.billed -= draw.billed();
            self.credits -= draw.credits;
        }
        for lot in &charge.lots {
            *self.spent.get_mut(&lot.grant).expect("spent") -= lot.units;
        }
    }

    /// Used and in flight.
    pub(super) fn taken(&self) -> u64 {
        self.billed + self.credits + self.in_flight.iter().sum::<u64>()
    }

    pub(super) fn is_up(&self, now: u64) -> bool {
        self.lost_at.is_none_or(|at| now < at)
    }

    pub(super) fn hears(&self, now: u64) -> bool {
        self.is_up(now) && now >= self.cut_until
    }
}

pub(super) fn of(terms: &Terms) -> Arc<crate::domain::tier::Tier> {
    tier(terms.included, terms.overage.clone(), terms.rate)
}

/// Units that an entry keeps from others, whether they were used or not.
pub(super) fn kept(entry: &Entry) -> u64 {
    let of_pool = |(key, pool): (&(Pool, i64), &(u64, u64))| match key.0 {
        Pool::Cap => pool.0.max(pool.1).div_ceil(3),
        Pool::Overage(_) | Pool::Credits(_) => 0,
        _ => pool.0.max(pool.1),
    };
    entry.pools.iter().map(of_pool).sum()
}
