//! Costs that the exchange itself tells: what is charged at the answer's header, and settled when it has ended.
//!
//! # What it promises
//!
//! - Where the header tells all there is to know, the truth is charged at once, with one record.
//! - Otherwise the header is charged as an *estimate*: what was held for what is not known yet. Its truth follows
//!   exactly once, in a correction, whoever is left to give it: the end of the exchange, or its context when nobody
//!   ends it.
//! - Until then nothing of it is sealed. An estimate that a crash leaves open stands.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::domain::account::Terms;
use crate::domain::measure::{Answer, TrueCost};
use crate::domain::route::Route;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Change, Correction, Draw, Now, signed};
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

/// What settling an estimate needs beside its record.
pub(super) struct Open {
    parts: Arc<Parts>,
    /// In force when it was charged.
    terms: Arc<Terms>,
    /// Meters whose units are held.
    pub held: SmallVec<[MeterId; 1]>,
}

impl Parts {
    /// None where nothing is measured.
    pub(super) fn at_header(&self, route: &Route, answer: Answer, context: &Context) -> Option<AtHeader> {
        let measuring = context.measuring.as_deref()?;
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
        Some(AtHeader { cost, held })
    }

    /// What will settle an estimate that was charged under these terms.
    pub(super) fn open(&self, terms: Arc<Terms>, held: SmallVec<[MeterId; 1]>) -> Option<Box<Open>> {
        Some(Box::new(Open { parts: self.me.upgrade()?, terms, held }))
    }
}

impl Context {
    /// The exchange is over: its truth takes the place of an estimate. What is settled stays as it is.
    pub(super) fn settle_truth(&mut self) {
        let Some(mut measuring) = self.measuring.take() else { return };
        let Charge::Recorded(recorded) = &mut self.charge else { return };
        let Some(open) = recorded.open.take() else { return };
        if measuring.is_free() {
            let parts = open.parts.clone();
            return parts.undo(self);
        }
        let took = self.started.elapsed();
        let now = self.settle_at();
        if let Charge::Recorded(recorded) = std::mem::take(&mut self.charge) {
            open.settle(recorded, &mut measuring, took, now);
        }
    }
}

impl Open {
    fn settle(&self, recorded: Recorded, measuring: &mut Measuring, took: Duration, now: Now) {
        let Recorded { reservation, settled, record, .. } = recorded;
        let parts = &self.parts;
        let fixed = settled.charge.draws.iter().map(|draw| (draw.meter, draw.units()));
        let truths = measuring.end(took).map(|(measured, truth)| {
            if self.held.contains(&measured.meter) {
                parts.counters.measured(truth);
            }
            (measured.meter, truth.units())
        });
        let truth = TrueCost::new(&Cost::new(fixed), truths);
        let correction = reservation.correct(&settled, &truth, &self.terms, now);
        parts.counters.corrected(&correction.draws, settled.tier);
        let (draws, lots) = recorded_changes(&correction, &parts.numbers);
        let record = record.correcting(draws, lots, now.micros(), correction.period);
        if let Some(appended) = parts.ledger.correct(record) {
            reservation.entry().recorded(appended.0);
        }
        parts.customers.note_correction(reservation.entry(), &correction);
    }
}

/// A draw as records have it.
pub(super) fn recorded_draw(draw: &Draw, numbers: &RecordNumbers) -> RecordDraw {
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
