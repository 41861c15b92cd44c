//! Exchanges, from the records that tell of them: in the order in which they came, each with what it turned out to
//! cost.
//!
//! Records stand in the order in which they were settled, and limits decide in the order in which requests come. So
//! each is held for a while: until then what came before it, or corrects it, finds its place. What is corrected later
//! is told as a [`Late`] change.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use smallvec::SmallVec;

use crate::domain::period::Period;
use crate::domain::usage::Now;
use crate::ledger::{Kind, Record};

/// Records are held for so long.
const HELD_MICROS: i64 = 60_000_000;
/// So many are, at most.
const MOST_HELD: usize = 200_000;

/// Units by the store's number of their meter.
pub(super) type Units = SmallVec<[(u32, i64); 2]>;

/// One charged request, or a slice of one.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub number: u64,
    /// Of a slice: the record that its exchange began with.
    pub slice_of: Option<u64>,
    /// When it came, to the millisecond, and when it was charged.
    pub came: Now,
    pub at: Now,
    pub customer: u32,
    pub member: u32,
    pub route: u32,
    pub tier: u32,
    pub method: u8,
    pub status: u16,
    pub period: Period,
    pub key: Option<[u8; 16]>,
    pub units: Units,
    /// It was not due in the end.
    pub taken_back: bool,
    /// What it cost is still to be told.
    pub is_open: bool,
}

/// What turned out late of an exchange.
#[derive(Clone, Debug)]
pub(super) struct Late {
    /// The record that it changes; none: one that is not among those that are told.
    pub of: Option<u64>,
    pub at: Now,
    pub customer: u32,
    pub route: u32,
    pub tier: u32,
    pub method: u8,
    pub units: Units,
}

pub(super) enum Told<'a> {
    Exchange(&'a Exchange),
    Late(&'a Late),
}

/// Those that wait for others that came before them.
#[derive(Default)]
pub(super) struct Exchanges {
    /// The number of the first that came here.
    first: Option<u64>,
    /// The number of the first place.
    base: u64,
    held: VecDeque<Option<Exchange>>,
    order: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Exchanges {
    /// Takes a record in, and tells of exchanges that have waited for long enough.
    pub fn take(&mut self, record: &Record, mut tell: impl FnMut(Told<'_>)) {
        let until = Now::from_micros(record.at_micros.saturating_sub(HELD_MICROS));
        while let Some(Reverse((came, _))) = self.order.peek()
            && (*came < until.nanos() || self.held.len() >= MOST_HELD)
        {
            self.tell_next(&mut tell);
        }
        if let Kind::Correction { of } = record.kind {
            return self.correct(of, record, tell);
        }
        self.first.get_or_insert(record.number);
        if self.held.is_empty() {
            self.base = record.number;
        }
        let Some(place) = record.number.checked_sub(self.base).and_then(|place| usize::try_from(place).ok())
        else {
            return;
        };
        if place >= MOST_HELD {
            // Many are missing: nothing of those before is waited for.
            self.finish(&mut tell);
            self.base = record.number;
            return self.hold(0, record);
        }
        self.hold(place, record);
    }

    /// Tells of all that are left.
    pub fn finish(&mut self, mut tell: impl FnMut(Told<'_>)) {
        while self.tell_next(&mut tell) {}
    }

    fn hold(&mut self, place: usize, record: &Record) {
        let exchange = Exchange::of(record);
        self.order.push(Reverse((exchange.came.nanos(), exchange.number)));
        if self.held.len() <= place {
            self.held.resize(place + 1, None);
        }
        self.held[place] = Some(exchange);
    }

    fn place(&mut self, number: u64) -> Option<&mut Option<Exchange>> {
        self.held.get_mut(usize::try_from(number.checked_sub(self.base)?).ok()?)
    }

    fn tell_next(&mut self, tell: &mut impl FnMut(Told<'_>)) -> bool {
        let Some(Reverse((_, number))) = self.order.pop() else { return false };
        if let Some(exchange) = self.place(number).and_then(Option::take) {
            tell(Told::Exchange(&exchange));
        }
        while let Some(None) = self.held.front() {
            self.held.pop_front();
            self.base += 1;
        }
        true
    }

    fn correct(&mut self, of: u64, record: &Record, mut tell: impl FnMut(Told<'_>)) {
        let change = units(record);
        let Some(exchange) = self.place(of).and_then(Option::as_mut) else {
            let of = Some(of).filter(|of| self.first.is_some_and(|first| first <= *of));
            let at = Now::from_micros(record.at_micros);
            let Record { customer, route, tier, method, .. } = *record;
            return tell(Told::Late(&Late { of, at, customer, route, tier, method, units: change }));
        };
        exchange.taken_back = add(&mut exchange.units, &change);
        exchange.is_open = false;
    }
}

impl Exchange {
    fn of(record: &Record) -> Self {
        let at = Now::from_micros(record.at_micros);
        let slice_of = if let Kind::Slice { of } = record.kind { Some(of) } else { None };
        Self {
            number: record.number,
            slice_of,
            came: if slice_of.is_some() { at } else { came(&record.request).min(at) },
            at,
            customer: record.customer,
            member: record.member,
            route: record.route,
            tier: record.tier,
            method: record.method,
            status: record.status,
            period: record.period,
            key: record.key,
            units: units(record),
            taken_back: false,
            is_open: record.is_estimate(),
        }
    }
}

/// What a correction changes; answers whether nothing is left.
pub(super) fn add(units: &mut Units, change: &Units) -> bool {
    for (meter, change) in change {
        match units.iter_mut().find(|(known, _)| known == meter) {
            Some(known) => known.1 += change,
            None => units.push((*meter, *change)),
        }
    }
    units.iter().all(|(_, units)| *units <= 0)
}

fn units(record: &Record) -> Units {
    record.draws.iter().map(|draw| (draw.meter, draw.units())).collect()
}

/// The instant that a request id carries (RFC 9562 section 5.7).
fn came(request: &[u8; 16]) -> Now {
    let millis = request[..6].iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    Now(millis.saturating_mul(1_000_000))
}

#[cfg(test)]
pub(super) mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::gateway::RequestId;
    use crate::ledger::RecordDraw;

    pub const SECOND: i64 = 1_000_000;

    /// Of a request that came `took` before it was charged.
    pub fn record(number: u64, at: i64, took: i64) -> Record {
        Record {
            number,
            at_micros: at,
            request: RequestId::new(Now::from_micros(at - took)).bytes(),
            customer: 1,
            member: 0,
            counts_for_member: false,
            in_shadow: false,
            route: 2,
            tier: 3,
            configuration: 0,
            period: Period { start: 0, end: 1 },
            kind: Kind::Estimate,
            status: 200,
            method: 1,
            draws: smallvec![RecordDraw { meter: 5, included: 4, ..RecordDraw::default() }],
            lots: Vec::new(),
            key: None,
            foreign_request: None,
        }
    }

    pub fn correction(of: &Record, number: u64, at: i64, units: i64) -> Record {
        let draws = smallvec![RecordDraw { meter: 5, included: units, ..RecordDraw::default() }];
        Record { number, ..of.clone().correcting(draws, Vec::new(), at, of.period) }
    }

    /// Numbers and units of what was told; of what was told late, what it changes.
    fn told(records: &[Record]) -> Vec<(u64, i64, bool)> {
        let (mut exchanges, mut all) = (Exchanges::default(), Vec::new());
        let mut tell = |told: Told<'_>| match told {
            Told::Exchange(exchange) => {
                all.push((exchange.number, exchange.units[0].1, exchange.taken_back));
            }
            Told::Late(late) => all.push((late.of.unwrap_or(0), late.units[0].1, true)),
        };
        for record in records {
            exchanges.take(record, &mut tell);
        }
        exchanges.finish(&mut tell);
        all
    }

    #[test]
    fn requests_are_told_in_the_order_in_which_they_came() {
        let records = [(1, 100, 2), (2, 101, 50), (3, 102, 1), (5, 103, 7)];
        let records = records.map(|(number, at, took)| record(number, at * SECOND, took * SECOND));
        let numbers: Vec<_> = told(&records).into_iter().map(|told| told.0).collect();
        assert_eq!(numbers, [2, 5, 1, 3]);
    }

    #[test]
    fn a_request_is_told_with_its_truth_and_what_comes_after_a_minute_is_told_late() {
        let at = 1_000 * SECOND;
        let [first, second] = [1, 2].map(|number| record(number, at, 0));
        let soon = correction(&first, 3, at + SECOND, -3);
        let back = correction(&second, 4, at + SECOND, -4);
        let next = record(5, at + 100 * SECOND, 0);
        let late = correction(&first, 6, at + 101 * SECOND, 9);
        assert_eq!(
            told(&[first, second, soon, back, next, late]),
            [(1, 1, false), (2, 0, true), (1, 9, true), (5, 4, false)]
        );
    }

    #[test]
    fn what_corrects_a_record_of_before_is_told_without_its_number() {
        let at = 1_000 * SECOND;
        let before = record(7, at, 0);
        let late = |number| correction(&before, number, at + SECOND, -3);
        assert_eq!(
            told(&[late(8), record(9, at, 0), late(10)]),
            [(0, -3, true), (0, -3, true), (9, 4, false)]
        );
    }

    #[test]
    fn what_is_missing_keeps_nothing_waiting() {
        let at = 1_000 * SECOND;
        let far = 10 * MOST_HELD as u64;
        let records = [record(1, at, 0), record(far, at, 0), record(far + 1, at, SECOND)];
        assert_eq!(told(&records), [(1, 4, false), (far + 1, 4, false), (far, 4, false)]);
    }
}
