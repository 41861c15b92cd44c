//! Costs that the exchange itself tells: what is charged at the answer's header, and settled when it has ended.
//!
//! # What it promises
//!
//! - Where the header tells all there is to know, the truth is charged at once, with one record.
//! - Otherwise the header is charged as an *estimate*: what was held for what is not known yet. Its truth follows
//!   exactly once, in a correction, whoever is left to give it: the end of the exchange, or its context when nobody
//!   ends it.
//! - A WebSocket is charged in slices while it stays open, each an estimate that the next one settles. So of what
//!   passed a crash loses no more than what was quicker than its slice, and a limit ends it within one.
//! - Until then nothing of it is sealed. An estimate that a crash leaves open stands.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::sleep;

use crate::customers::Denied;
use crate::domain::account::{ByMember, Terms};
use crate::domain::measure::{Answer, TrueCost, Truth};
use crate::domain::route::Route;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{self as domain, Change, Correction, Draw, Now, signed};
use crate::ledger::{Record, RecordDraw, RecordLot};

use super::context::{Charge, Context, Recorded};
use super::measuring::{Measuring, SoFar};
use super::{Parts, RecordNumbers};

/// How often it is looked at what has passed through an exchange that stays open.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A slice in which anything has passed lasts no longer, in nanoseconds: hours of usage are sealed while they pass.
const LONGEST_SLICE: u64 = 10_000_000_000;

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
    /// What earlier slices of the exchange have settled.
    before: Totals,
}

/// Units that an exchange has cost in all, by meter that is measured and held.
type Totals = SmallVec<[(MeterId, u64); 1]>;

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
        Some(Box::new(Open { parts: self.me.upgrade()?, terms, held, before: Totals::new() }))
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
        let now = self.settle_at();
        let totals =
            open.totals(&mut measuring, self.started.elapsed(), |truth| open.parts.counters.measured(truth));
        if let Charge::Recorded(recorded) = std::mem::take(&mut self.charge) {
            open.settle(recorded, &totals, now);
        }
    }

    /// While an exchange stays open: charges what passes, slice by slice. Returns when nothing is left to pay for more.
    pub(super) async fn keep_charging(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            let Some(more) = self.is_due() else { continue };
            if self.next_slice(&more).await.is_none() {
                return;
            }
        }
    }

    /// What the next slice holds, once it is time for it.
    fn is_due(&mut self) -> Option<Cost> {
        let took = self.started.elapsed();
        let at = self.settle_at();
        let (Charge::Recorded(recorded), Some(measuring)) = (&self.charge, &mut self.measuring) else {
            return None;
        };
        let open = recorded.open.as_ref()?;
        let charge = &recorded.settled.charge;
        let held =
            |meter| charge.draws.iter().find(|draw| draw.meter == meter).map_or(0, |draw| draw.units());
        let totals = open.totals(measuring, took, |_| {});
        let spent =
            |(meter, total): &(MeterId, u64)| (*meter, total.saturating_sub(of(&open.before, *meter)));
        let is_long = at.nanos().saturating_sub(charge.at.nanos()) >= LONGEST_SLICE;
        let is_due =
            totals.iter().map(spent).any(|(meter, units)| units > 0 && (is_long || units >= held(meter)));
        // As much as the last one, which may have been quicker than it was looked at.
        is_due.then(|| {
            Cost::new(totals.iter().map(spent).map(|(meter, units)| (meter, units.max(held(meter)).max(1))))
        })
    }

    /// Settles a slice, and charges the next one ahead.
    async fn next_slice(&mut self, more: &Cost) -> Option<()> {
        let Charge::Recorded(Recorded { reservation, settled, open: Some(open), .. }) = &self.charge else {
            return None;
        };
        let member = settled.charge.member.map(ByMember::from).or(reservation.member());
        let (entry, parts) = (reservation.entry().clone(), open.parts.clone());
        let now = self.settle_at();
        let extended = match entry.extend(more, member, now) {
            Err(Denied::Refill) => parts.customers.extend_with_fleet(&entry, more, member, now).await,
            extended => extended,
        };
        let mut reservation = extended.ok()?;
        let (took, now) = (self.started.elapsed(), self.settle_at());
        let Charge::Recorded(mut recorded) = std::mem::take(&mut self.charge) else { return None };
        let (open, measuring) = (recorded.open.take()?, self.measuring.as_mut()?);
        let (before, first) = (open.totals(measuring, took, |_| {}), recorded.record.clone());
        open.settle(recorded, &before, now);
        let route = self.route.map(|id| parts.catalogue.routes.get(id))?;
        let held = TrueCost::new(&Cost::default(), more.iter());
        let (settled, _, terms) = reservation.settle_with(&held, route, parts.catalogue.currency, now)?;
        let (draws, lots) = (recorded_draws(&settled.charge, &parts.numbers), recorded_lots(&settled.charge));
        let counts_for_member = settled.charge.member.is_some();
        let record = first.slice(draws, lots, now.micros(), settled.charge.period);
        let record = Record { counts_for_member, ..record };
        let Ok(appended) = parts.ledger.append(&record) else {
            reservation.undo(&settled, now);
            return None;
        };
        reservation.entry().recorded(appended.0);
        parts.counters.recorded(&settled.charge.draws, 1);
        parts.customers.note_charge(reservation.entry(), &settled.charge);
        let record = Record { number: appended.0, ..record };
        let Open { held, parts: _, .. } = *open;
        let open = Some(Box::new(Open { parts: parts.clone(), terms, held, before }));
        self.charge = Charge::Recorded(Recorded { reservation, settled, record, open });
        parts.counters.drawn(self);
        Some(())
    }
}

impl Open {
    /// `note` hears of each measure.
    fn totals(&self, measuring: &mut Measuring, took: Duration, note: impl Fn(Truth)) -> Totals {
        let held = measuring.end(took).filter(|(measured, _)| self.held.contains(&measured.meter));
        held.map(|(measured, truth)| {
            note(truth);
            (measured.meter, truth.units())
        })
        .collect()
    }

    fn settle(&self, recorded: Recorded, totals: &[(MeterId, u64)], now: Now) {
        let Recorded { reservation, settled, record, .. } = recorded;
        let parts = &self.parts;
        let charged = settled.charge.draws.iter().map(|draw| (draw.meter, draw.units()));
        let truths =
            totals.iter().map(|(meter, total)| (*meter, total.saturating_sub(of(&self.before, *meter))));
        let truth = TrueCost::new(&Cost::new(charged), truths);
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

fn of(totals: &[(MeterId, u64)], meter: MeterId) -> u64 {
    totals.iter().find(|(known, _)| *known == meter).map_or(0, |(_, units)| *units)
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
