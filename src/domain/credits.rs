//! Credits: prepaid units, one pool for all meters.
//!
//! A [`Purse`] holds what is left of each grant. Units are spent from the grant that expires first; one without expiry
//! comes last. What a charge took, and of which grants, is in its record: whoever reads the records need not decide
//! anew, so that memory and store agree whatever came in which order. What is undone goes back to where it was.

use serde::{Deserialize, Serialize};

use super::usage::Now;

/// What was admitted while a grant was there may still spend it for so long after it has expired. The store closes no
/// grant earlier.
pub const HELD_SECONDS: i64 = 3_600;

/// Units of one grant: what is left of it, or what a charge took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The grant's number in the history; a later grant has a higher one.
    pub grant: i64,
    pub units: u64,
    /// In seconds since the epoch; `None`: never.
    pub expires_at: Option<i64>,
}

impl Lot {
    /// Can be spent at an instant.
    pub fn is_there(&self, now: Now) -> bool {
        self.expires_at.is_none_or(|end| now.seconds() < end)
    }

    /// What expires first is spent first.
    pub fn spending_order(&self) -> (i64, i64) {
        (self.expires_at.unwrap_or(i64::MAX), self.grant)
    }

    /// Nothing that was admitted while it was there is in flight any more.
    fn is_long_gone(&self, now: Now) -> bool {
        self.expires_at.is_some_and(|end| end.saturating_add(HELD_SECONDS) <= now.seconds())
    }
}

/// All units of some lots.
pub fn sum(lots: &[Lot]) -> u64 {
    lots.iter().map(|lot| lot.units).fold(0, u64::saturating_add)
}

/// A customer's credits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purse {
    /// What expires first is spent first.
    lots: Vec<Lot>,
    /// The latest grant that has been put in.
    latest: i64,
}

impl Purse {
    pub fn new(lots: impl IntoIterator<Item = Lot>) -> Self {
        let mut purse = Self::default();
        for lot in lots {
            purse.latest = purse.latest.max(lot.grant);
            purse.give_back(lot);
        }
        purse
    }

    /// Notes a grant, and answers whether it is new: what is left of one that is known is known better here.
    pub fn learn(&mut self, grant: i64) -> bool {
        let is_new = grant > self.latest;
        self.latest = self.latest.max(grant);
        is_new
    }

    /// Returns units to the grant that they are of. If that has expired, they have with it.
    pub fn give_back(&mut self, lot: Lot) {
        match self.lots.iter_mut().find(|known| known.grant == lot.grant) {
            Some(known) => known.units = known.units.saturating_add(lot.units),
            None if lot.units > 0 => {
                self.lots.push(lot);
                self.lots.sort_by_key(Lot::spending_order);
            }
            None => {}
        }
    }

    /// Units that could be spent at an instant.
    pub fn available(&self, now: Now) -> u64 {
        self.lots.iter().filter(|lot| lot.is_there(now)).map(|lot| lot.units).fold(0, u64::saturating_add)
    }

    /// Spends up to `units`; answers what that took of which grants.
    pub fn spend(&mut self, units: u64, now: Now) -> Vec<Lot> {
        self.take(units, now, |lot| lot.is_there(now))
    }

    /// The same from grants that have just expired: for what was admitted while they were there.
    pub fn spend_expired(&mut self, units: u64, now: Now) -> Vec<Lot> {
        self.take(units, now, |lot| !lot.is_there(now) && !lot.is_long_gone(now))
    }

    fn take(&mut self, units: u64, now: Now, may_be_spent: impl Fn(&Lot) -> bool) -> Vec<Lot> {
        let mut taken = Vec::new();
        let mut left = units;
        for lot in self.lots.iter_mut().filter(|lot| may_be_spent(lot)) {
            if left == 0 {
                break;
            }
            let of_this = lot.units.min(left);
            lot.units -= of_this;
            left -= of_this;
            taken.push(Lot { units: of_this, ..*lot });
        }
        self.lots.retain(|lot| lot.units > 0 && !lot.is_long_gone(now));
        taken
    }

    /// Takes units of one grant out, for others to have.
    pub fn put_aside(&mut self, grant: i64, units: u64) {
        for lot in self.lots.iter_mut().filter(|lot| lot.grant == grant) {
            lot.units = lot.units.saturating_sub(units);
        }
        self.lots.retain(|lot| lot.units > 0);
    }

    /// Takes all out; which grants have been put in stays known.
    pub fn empty(&mut self) -> Vec<Lot> {
        std::mem::take(&mut self.lots)
    }

    pub fn lots(&self) -> &[Lot] {
        &self.lots
    }

    pub fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Now {
        Now::from_seconds(seconds)
    }

    fn lot(grant: i64, units: u64, expires_at: Option<i64>) -> Lot {
        Lot { grant, units, expires_at }
    }

    fn of(lots: &[Lot]) -> Vec<(i64, u64)> {
        lots.iter().map(|lot| (lot.grant, lot.units)).collect()
    }

    #[test]
    fn what_expires_first_is_spent_first_and_what_never_does_last() {
        let mut purse = Purse::new([lot(1, 10, None), lot(2, 10, Some(100)), lot(3, 10, Some(50))]);
        assert_eq!(of(&purse.spend(15, at(20))), [(3, 10), (2, 5)]);
        assert_eq!(of(purse.lots()), [(2, 5), (1, 10)]);
        assert_eq!(of(&purse.spend(100, at(20))), [(2, 5), (1, 10)]);
        assert!(purse.is_empty());
    }

    #[test]
    fn what_is_expired_is_there_only_for_what_was_admitted_before() {
        let mut purse = Purse::new([lot(1, 10, Some(50)), lot(2, 5, None)]);
        assert_eq!((purse.available(at(49)), purse.available(at(50))), (15, 5));
        assert_eq!(of(&purse.spend(10, at(50))), [(2, 5)]);
        assert_eq!(of(&purse.spend_expired(3, at(50 + HELD_SECONDS - 1))), [(1, 3)]);
        assert_eq!(purse.spend_expired(3, at(50 + HELD_SECONDS)), []);
        assert!(purse.is_empty(), "an expired grant takes no memory for ever");
    }

    #[test]
    fn what_comes_back_is_of_its_grant_again_and_expires_with_it() {
        let mut purse = Purse::new([lot(1, 10, Some(50))]);
        let taken = purse.spend(10, at(20));
        for lot in taken {
            purse.give_back(lot);
        }
        assert_eq!((purse.available(at(49)), purse.available(at(50))), (10, 0));
    }

    #[test]
    fn a_grant_that_was_put_in_is_not_put_in_again_even_when_it_has_been_spent() {
        let mut purse = Purse::new([lot(4, 10, None)]);
        assert!(!purse.learn(4) && !purse.learn(3));
        assert!(purse.learn(5));
        purse.give_back(lot(5, 1, None));
        assert_eq!(sum(&purse.spend(11, at(20))), 11);
        assert!(!purse.learn(5));
        assert!(purse.is_empty());
    }
}
