//! Limits that customers reach: told once they are seen, to whoever passes them on.
//!
//! A charge sees the share that it reaches, under the account's lock, by arithmetic; telling happens outside of it.
//! What a charge saw and could not tell, since the process ended, is seen again when the customer is loaded. So a limit
//! may be told more than once: whoever listens keeps each once for its period.

use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::domain::account::Mark;
use crate::domain::anonymous::is_anonymous;
use crate::domain::period::Period;
use crate::domain::subscription::Outline;
use crate::domain::tier::Tier;
use crate::domain::units::MeterId;
use crate::domain::usage::{Charge, Correction, Now};

use super::Customers;
use super::entry::Entry;

/// A limit that a customer has reached in a period.
#[derive(Clone, Debug)]
pub struct Reached {
    pub customer: u32,
    pub name: SmolStr,
    /// In force then.
    pub tier: Option<Arc<Tier>>,
    /// Stripe's word, or `no_subscription`.
    pub status: &'static str,
    pub period: Period,
    pub limit: ReachedLimit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReachedLimit {
    Share(Mark),
    SpendCap,
}

impl Customers {
    /// The same, with somebody who is told of limits that are reached.
    #[must_use]
    pub fn telling(mut self, told: mpsc::UnboundedSender<Reached>) -> Self {
        self.reached = Some(told);
        self
    }

    /// After a charge has been recorded: tells of the shares that it reached. Nearly none does.
    pub fn note_charge(&self, entry: &Entry, charge: &Charge) {
        let reached = charge.draws.iter().filter_map(|draw| Some((draw.meter, draw.reached?)));
        self.note_shares(entry, charge.period, reached, charge.at);
    }

    /// After the truth of an estimate has been recorded.
    pub fn note_correction(&self, entry: &Entry, correction: &Correction) {
        let reached = correction.draws.iter().filter_map(|change| Some((change.meter, change.reached?)));
        self.note_shares(entry, correction.period, reached, correction.at);
    }

    fn note_shares(
        &self,
        entry: &Entry,
        period: Period,
        reached: impl Iterator<Item = (MeterId, u8)>,
        at: Now,
    ) {
        let mut reached = reached.peekable();
        if reached.peek().is_none() {
            return;
        }
        let included = |meter| entry.account().included(meter, at);
        let mark = |(meter, share)| Mark { meter, share, included: included(meter) };
        let marks: SmallVec<[Mark; 1]> = reached.map(mark).collect();
        self.tell_reached(entry, period, marks.into_iter().map(ReachedLimit::Share), at);
    }

    /// After the spend cap has refused: tells of the first time in a period.
    pub fn note_capped(&self, entry: &Entry, now: Now) {
        let mut account = entry.account();
        let first = account.note_capped(now);
        let period = account.window(now).period;
        drop(account);
        if first {
            self.tell_reached(entry, period, [ReachedLimit::SpendCap], now);
        }
    }

    /// After a load or a change of tier: tells of what has been reached so far.
    pub(super) fn tell_marks(&self, entry: &Entry, now: Now) {
        if let Some(told) = &self.reached {
            tell_marks(told, entry, now);
        }
    }

    fn tell_reached(
        &self,
        entry: &Entry,
        period: Period,
        limits: impl IntoIterator<Item = ReachedLimit>,
        now: Now,
    ) {
        if let Some(told) = &self.reached {
            tell_reached(told, entry, period, limits, now);
        }
    }
}

/// What has been reached so far.
pub(super) fn tell_marks(told: &mpsc::UnboundedSender<Reached>, entry: &Entry, now: Now) {
    let mut account = entry.account();
    let marks = account.marks(now);
    if marks.is_empty() {
        return;
    }
    let period = account.window(now).period;
    drop(account);
    tell_reached(told, entry, period, marks.into_iter().map(ReachedLimit::Share), now);
}

fn tell_reached(
    told: &mpsc::UnboundedSender<Reached>,
    entry: &Entry,
    period: Period,
    limits: impl IntoIterator<Item = ReachedLimit>,
    now: Now,
) {
    // Nobody can be told anything of somebody anonymous.
    if is_anonymous(&entry.name) {
        return;
    }
    let terms = entry.account().terms().clone();
    for limit in limits {
        let reached = Reached {
            customer: entry.number,
            name: entry.name.clone(),
            tier: terms.entitlement.tier_at(now.seconds()).cloned(),
            status: Outline::word(terms.subscription),
            period,
            limit,
        };
        // Nobody listens only while everything is being shut down.
        let _ = told.send(reached);
    }
}
