//! Costs that the exchange itself tells: what is charged at the answer's header, and settled when it has ended.
//!
//! # What it promises
//!
//! - Where the header tells all there is to know, the truth is charged at once, with one record.
//! - Otherwise the header is charged as an *estimate*: what was held for what is not known yet. Its truth follows
//!   exactly once, in a correction, whoever is left to give it: the end of the exchange, or its context when nobody
//!   ends it.
//! - Of an exchange that stays open there are several, one after the other: its `slices`.
//! - Until then nothing of it is sealed. An estimate that a crash leaves open stands.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::customers::{Denied, Entry, Reservation};
use crate::domain::account::{ByMember, Terms};
use crate::domain::measure::{Answer, TrueCost};
use crate::domain::route::Route;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{self as domain, Change, Correction, Draw, Now, signed};
use crate::ledger::{RecordDraw, RecordLot};

use super::books::Matter;
use super::context::{Charge, Context, Recorded};
use super::measuring::{Measuring, SoFar};
use super::{Parts, RecordNumbers};

/// What is charged at the header of an exchange that is measured.
pub(super) struct AtHeader {
    pub cost: TrueCost,
    /// Meters whose units only the end will tell: all, where it tells whether there is anything to pay.
    pub held: SmallVec<[MeterId; 1]>,
}

/// Terms that an estimate was charged under, and the meters whose units are held.
pub(super) type Held = (Arc<Terms>, SmallVec<[MeterId; 1]>);

impl Parts {
    pub(super) fn at_header(&self, route: &Route, answer: Answer, measuring: &Measuring) -> AtHeader {
        let mut held = SmallVec::new();
        let units = measuring.at_header(answer).map(|(measured, so_far)| match so_far {
            SoFar::Known(truth) => {
                self.counters.measured(truth);
                (measured.meter, truth.units())
            }
            SoFar::Open => {
                held.push(measured.meter);
                (measured.meter, measured.hold)
            }
        });
        let cost = TrueCost::new(&route.cost, units);
        if measuring.awaits_status() {
            held = cost.iter().map(|(meter, _)| meter).collect();
        }
        AtHeader { cost, held }
    }
}

impl Context {
    /// The exchange is over: its truth takes the place of an estimate. What is settled stays as it is.
    pub(super) fn settle_truth(&self) {
        if let Charge::Open(slices) = &self.charge {
            slices.end();
        }
    }
}

impl Recorded {
    /// What it truly cost, where meters that are not named keep what was charged.
    pub(super) fn came_to(&self, truth: &[(MeterId, u64)]) -> TrueCost {
        let charged = self.settled.charge.draws.iter().map(|draw| (draw.meter, draw.units()));
        TrueCost::new(&Cost::new(charged), truth.iter().copied())
    }
}

impl Parts {
    /// Puts what meters truly cost in the place of an estimate, which was charged under these terms, and answers what
    /// it came to. Meters that are not named keep what was charged.
    pub(super) fn settle_estimate(
        &self,
        recorded: Recorded,
        truth: &[(MeterId, u64)],
        terms: Arc<Terms>,
        now: Now,
    ) -> TrueCost {
        let truth = recorded.came_to(truth);
        self.see_to(Matter::Correct(recorded, truth.clone(), terms, now));
        truth
    }

    /// The same, done when this returns.
    pub(super) async fn correct(&self, recorded: Recorded, truth: TrueCost, terms: Arc<Terms>, now: Now) {
        match self.flow.books.heir().await {
            Some(heir) => heir.correct(&recorded, truth, now).await,
            None => self.see_to(Matter::Correct(recorded, truth, terms, now)),
        }
    }

    pub(super) fn correct_here(&self, recorded: Recorded, truth: &TrueCost, terms: &Arc<Terms>, now: Now) {
        let Recorded { reservation, settled, record } = recorded;
        let correction = reservation.correct(&settled, truth, terms, now);
        self.counters.corrected(&correction.draws);
        if let Some(tier) = settled.tier {
            self.of_tier(tier, |tier| tier.count_more(&correction.draws));
        }
        let (draws, lots) = recorded_changes(&correction, &self.numbers);
        let record = record.correcting(draws, lots, now.micros(), correction.period);
        if let Some(appended) = self.ledger.correct(record) {
            reservation.entry().recorded(appended.0);
        }
        self.customers.note_correction(reservation.entry(), &correction);
    }

    /// Reserves more for an exchange that goes on, here or where the books are.
    pub(super) async fn extend(
        &self,
        entry: &Arc<Entry>,
        more: &Cost,
        member: Option<ByMember>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let books = &self.flow.books;
        if books.are_here() {
            let extended = match entry.extend(more, member, now) {
                Err(Denied::Refill) => self.customers.extend_with_fleet(entry, more, member, now).await,
                extended => extended,
            };
            if books.are_here() {
                return extended;
            }
            if let Ok(reservation) = extended {
                self.flow.release(reservation);
            }
        }
        match books.heir().await {
            Some(heir) => self.extend_there(&heir, entry, more, member, now).await,
            None => entry.extend(more, member, now),
        }
    }
}

pub(super) fn recorded_draws(charge: &domain::Charge, numbers: &RecordNumbers) -> SmallVec<[RecordDraw; 2]> {
    charge.draws.iter().map(|draw| recorded_draw(draw, numbers)).collect()
}

pub(super) fn recorded_lots(charge: &domain::Charge) -> Vec<RecordLot> {
    charge.lots.iter().map(|lot| RecordLot { grant: lot.grant, units: signed(lot.units) }).collect()
}

fn recorded_draw(draw: &Draw, numbers: &RecordNumbers) -> RecordDraw {
    RecordDraw {
        meter: numbers.meters[draw.meter.index()],
        included: signed(draw.included),
        extra: signed(draw.extra),
        credits: signed(draw.credits),
        overage: signed(draw.overage),
        uncovered: signed(draw.uncovered),
    }
}

fn recorded_change(change: &Change, numbers: &RecordNumbers) -> RecordDraw {
    RecordDraw {
        meter: numbers.meters[change.meter.index()],
        included: change.included,
        extra: change.extra,
        credits: change.credits,
        overage: change.overage,
        uncovered: change.uncovered,
    }
}

fn recorded_changes(
    correction: &Correction,
    numbers: &RecordNumbers,
) -> (SmallVec<[RecordDraw; 2]>, Vec<RecordLot>) {
    let draws = correction.draws.iter().map(|change| recorded_change(change, numbers));
    let lots = correction.lots.iter().map(|(grant, units)| RecordLot { grant: *grant, units: *units });
    (draws.collect(), lots.collect())
}
