//! Credits: prepaid units, one pool for all meters.
//!
//! A [`Purse`] holds what is left of each grant. Units are spent from the grant that expires first; one without expiry
//! comes last. The account spends in memory when a request settles, the store once the record has been folded, by the
//! same rules and the same instants: so both always agree.

use super::usage::Now;

/// What is left of one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// The grant's number in the history; 0 holds what came back from charges that were undone.
    pub grant: i64,
    pub units: u64,
    pub granted_at: Now,
    pub expires_at: Option<Now>,
}

impl Lot {
    /// What is expired, or was granted only later, is not there.
    fn is_there(&self, now: Now) -> bool {
        self.granted_at <= now && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A customer's credits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purse {
    /// What expires first is spent first.
    lots: Vec<Lot>,
}

impl Purse {
    pub fn new(lots: impl IntoIterator<Item = Lot>) -> Self {
        let mut purse = Self { lots: lots.into_iter().filter(|lot| lot.units > 0).collect() };
        purse.sort();
        purse
    }

    pub fn grant(&mut self, lot: Lot) {
        self.lots.push(lot);
        self.sort();
    }

    fn sort(&mut self) {
        self.lots.sort_by_key(|lot| (lot.expires_at.unwrap_or(Now(u64::MAX)), lot.grant));
    }

    /// Units that could be spent at an instant.
    pub fn available(&self, now: Now) -> u64 {
        let there = self.lots.iter().filter(|lot| lot.is_there(now));
        there.map(|lot| lot.units).fold(0, u64::saturating_add)
    }

    /// Spends up to `units`; answers how many there were.
    pub fn spend(&mut self, units: u64, now: Now) -> u64 {
        let mut left = units;
        for lot in self.lots.iter_mut().filter(|lot| lot.is_there(now)) {
            let taken = lot.units.min(left);
            lot.units -= taken;
            left -= taken;
        }
        self.lots.retain(|lot| lot.units > 0);
        units - left
    }

    /// Units of a charge that was undone. They expire no more: nobody can tell which grant they were of.
    pub fn give_back(&mut self, units: u64, now: Now) {
        match self.lots.iter_mut().find(|lot| lot.grant == 0) {
            Some(lot) => lot.units = lot.units.saturating_add(units),
            None if units > 0 => self.grant(Lot { grant: 0, units, granted_at: now, expires_at: None }),
            None => {}
        }
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
        Lot { grant, units, granted_at: at(10), expires_at: expires_at.map(at) }
    }

    fn left(purse: &Purse) -> Vec<(i64, u64)> {
        purse.lots().iter().map(|lot| (lot.grant, lot.units)).collect()
    }

    #[test]
    fn what_expires_first_is_spent_first_and_what_never_does_last() {
        let mut purse = Purse::new([lot(1, 10, None), lot(2, 10, Some(100)), lot(3, 10, Some(50))]);
        assert_eq!(purse.spend(15, at(20)), 15);
        assert_eq!(left(&purse), [(2, 5), (1, 10)]);
        assert_eq!(purse.spend(100, at(20)), 15);
        assert!(purse.is_empty());
    }

    #[test]
    fn what_is_expired_or_not_granted_yet_cannot_be_spent() {
        let mut purse = Purse::new([lot(1, 10, Some(50)), lot(2, 5, None)]);
        assert_eq!((purse.available(at(9)), purse.available(at(49)), purse.available(at(50))), (0, 15, 5));
        assert_eq!(purse.spend(10, at(50)), 5);
        assert_eq!(left(&purse), [(1, 10)], "an expired grant is the store's to close");
    }

    #[test]
    fn what_comes_back_does_not_expire() {
        let mut purse = Purse::new([lot(1, 10, Some(50))]);
        assert_eq!(purse.spend(10, at(20)), 10);
        purse.give_back(4, at(60));
        purse.give_back(2, at(61));
        assert_eq!((left(&purse), purse.available(at(1_000))), (vec![(0, 6)], 6));
    }
}
