//! Finding the minutes in which Stripe holds too little, with few questions: halves of a span that tell what the
//! ledger tells are not looked into.
//!
//! The decisions are here, without a clock or a call; the caller reads the sums that are asked for.

use crate::domain::period::Period;
use crate::store::MinuteHoldings;

use super::span::minute_of;

/// Stripe takes nothing older than 35 days; an hour of it is left for the sending.
const STRIPE_TAKES_SECONDS: i64 = 35 * 86_400 - 3_600;

/// Why what a minute misses is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// Stripe may still be adding it up, until this instant.
    Young(i64),
    /// Something of it is on its way.
    Unanswered,
    /// It holds the edge of two billing periods.
    Edge,
    TooOld,
    /// Rows of it were taken over of a lost node, which may have them again.
    Taken,
}

pub(super) fn hindrance(minute: &MinuteHoldings, now: i64, settle_seconds: i64) -> Option<Hindrance> {
    let MinuteHoldings { start, holdings, periods } = minute;
    if *start < now - STRIPE_TAKES_SECONDS {
        return Some(Hindrance::TooOld);
    }
    if periods.0 != periods.1 && periods.1 > *start {
        return Some(Hindrance::Edge);
    }
    if holdings.taken > 0 {
        return Some(Hindrance::Taken);
    }
    if holdings.pending > 0 {
        return Some(Hindrance::Unanswered);
    }
    let until = young_until(minute, settle_seconds);
    (until > now).then_some(Hindrance::Young(until))
}

/// Until when Stripe may be adding up what a minute holds.
pub(super) fn young_until(minute: &MinuteHoldings, settle_seconds: i64) -> i64 {
    let heard_of = minute.holdings.accepted_at.unwrap_or(0).max(minute_of(minute.start).end);
    heard_of.saturating_add(settle_seconds)
}

/// What is known of missing units before it is known which minutes miss them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outlook {
    /// More is missing than the minutes that are hindered can miss: some of it can be repaired.
    pub is_certain: bool,
    /// Some of it may be in a minute that can be repaired.
    pub is_possible: bool,
    /// What hinders it where it is not certain.
    pub hindrances: Vec<Hindrance>,
}

/// The outlook of minutes of which Stripe holds so many units.
pub(super) fn outlook(minutes: &[MinuteHoldings], stripe: i64, now: i64, settle_seconds: i64) -> Outlook {
    let (mut hindered, mut free, mut hindrances) = (0, 0, Vec::new());
    for minute in minutes {
        let most = minute.holdings.ledger - minute.holdings.dead;
        match hindrance(minute, now, settle_seconds) {
            None => free += most,
            Some(hindrance) => {
                hindered += most;
                hindrances.push(hindrance);
            }
        }
    }
    let missing = hindered + free - stripe;
    if missing <= 0 {
        return Outlook::default();
    }
    if missing > hindered {
        return Outlook { is_certain: true, is_possible: true, hindrances: Vec::new() };
    }
    Outlook { is_certain: false, is_possible: free > 0, hindrances }
}

/// A run of minutes with rows, the span that they stand for, and what Stripe holds of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub minutes: &'a [MinuteHoldings],
    pub span: Period,
    pub stripe: i64,
}

/// What a part tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing in it is missing but what is dead.
    Whole,
    /// Stripe holds more than the ledger somewhere in it.
    TooMuch,
    /// Its one minute misses so many units.
    Missing(i64),
    /// One of its halves misses something: the end of the first one.
    Halve(usize),
}

impl<'a> Part<'a> {
    pub fn finding(&self) -> Finding {
        let ledger: i64 = self.minutes.iter().map(|minute| minute.holdings.ledger).sum();
        let dead: i64 = self.minutes.iter().map(|minute| minute.holdings.dead).sum();
        let missing = ledger - self.stripe;
        match self.minutes.len() {
            _ if missing < 0 => Finding::TooMuch,
            // Dead units are sent again by hand, by the event that they are in.
            _ if missing <= dead => Finding::Whole,
            1 => Finding::Missing(missing - dead),
            minutes => Finding::Halve(minutes / 2),
        }
    }

    /// The span of the first `at` minutes and of all that follows without rows.
    pub fn first_span(&self, at: usize) -> Period {
        Period { start: self.span.start, end: self.minutes[at].start }
    }

    /// Both halves, once it is known what Stripe holds of the first.
    pub fn halves(&self, at: usize, stripe_of_first: i64) -> [Part<'a>; 2] {
        let (first, second) = self.minutes.split_at(at);
        let middle = self.minutes[at].start;
        [
            Part {
                minutes: first,
                span: Period { start: self.span.start, end: middle },
                stripe: stripe_of_first,
            },
            Part {
                minutes: second,
                span: Period { start: middle, end: self.span.end },
                stripe: self.stripe - stripe_of_first,
            },
        ]
    }
}

/// The minutes of each billing period: one ends where a row belongs to a period that began later than all before it.
pub(super) fn by_period(minutes: &[MinuteHoldings], span: Period) -> Vec<(&[MinuteHoldings], Period)> {
    let mut groups = Vec::new();
    let (mut from, mut start, mut newest) = (0, span.start, i64::MIN);
    for (at, minute) in minutes.iter().enumerate() {
        if minute.periods.1 > newest && at > from {
            groups.push((&minutes[from..at], Period { start, end: minute.start }));
            (from, start) = (at, minute.start);
        }
        newest = newest.max(minute.periods.1);
    }
    if from < minutes.len() {
        groups.push((&minutes[from..], Period { start, end: span.end }));
    }
    groups
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
