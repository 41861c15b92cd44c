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

use crate::domain::account::Terms;
use crate::domain::measure::{Answer, TrueCost};
use crate::domain::route::Route;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{self as domain, Change, Correction, Draw, Now, signed};
use crate::ledger::{RecordDraw, RecordLot};

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

/// Puts what meters truly cost in the place of an estimate, which was charged under these terms, and answers what it
/// came to. Meters that are not named keep what was charged.
pub(super) fn settle(
    parts: &Parts,
    recorded: Recorded,
    truth: &[(MeterId, u64)],
    terms: &Arc<Terms>,
    now: Now,
) -> TrueCost {
    let Recorded { reservation, settled, record } = recorded;
    let charged = settled.charge.draws.iter().map(|draw| (draw.meter, draw.units()));
    let truth = TrueCost::new(&Cost::new(charged), truth.iter().copied());
    let correction = reservation.correct(&settled, &truth, terms, now);
    parts.counters.corrected(&correction.draws);
    if let Some(tier) = settled.tier {
        parts.of_tier(tier, |tier| tier.count_more(&correction.draws));
    }
    let (draws, lots) = recorded_changes(&correction, &parts.numbers);
    let record = record.correcting(draws, lots, now.micros(), correction.period);
    if let Some(appended) = parts.ledger.correct(record) {
        reservation.entry().recorded(appended.0);
    }
    parts.customers.note_correction(reservation.entry(), &correction);
    truth
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
