//! Exchanges, from the records that tell of them: in the order in which they came, each with what it turned out to cost.
//!
//! Records stand in the order in which they were settled, and limits decide in the order in which requests come. So each
//! is held for a while: until then what came before it, or corrects it, finds its place. What is corrected later is told
//! as a [`Late`] change.

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
}

/// What turned out late of an exchange.
#[derive(Clone, Debug)]
pub(super) struct Late {
    /// The record that it changes.
    pub of: u64,
    pub at: Now,
    pub customer: u32,
    pub route: u32,
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
            let at = Now::from_micros(record.at_micros);
            let Record { customer, route, method, .. } = *record;
            return tell(Told::Late(&Late { of, at, customer, route, method, units: change }));
        };
        for (meter, units) in change {
            match exchange.units.iter_mut().find(|(known, _)| *known == meter) {
                Some(known) => known.1 += units,
                None => exchange.units.push((meter, units)),
            }
        }
        exchange.taken_back = exchange.units.iter().all(|(_, units)| *units <= 0);
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
        }
    }
}

fn units(record: &Record) -> Units {
    record.draws.iter().map(|draw| (draw.meter, draw.units())).collect()
}

/// The instant that a request id carries (RFC 9562 section 5.7).
fn came(request: &[u8; 16]) -> Now {
    let [a, b, c, d, e, f, ..] = *request;
    Now(u64::from_be_bytes([0, 0, a, b, c, d, e, f]).saturating_mul(1_000_000))
}
