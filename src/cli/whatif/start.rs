//! What customers had when the replay begins: what is counted now, with all that was recorded since taken off again.

use hashbrown::HashMap;
use smallvec::smallvec;

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::domain::account::Window;
use crate::domain::credits::Lot;
use crate::domain::period::Period;
use crate::domain::subscription::Facts;
use crate::domain::tier::Allowance;
use crate::domain::units::MeterId;
use crate::domain::usage::Unbilled;
use crate::ledger::Record;
use crate::store::{AtOnce, OverrideRow, TotalKey};

use super::mapping::Mapping;

pub(super) struct Start {
    counted: AtOnce,
    /// Meters of each customer and period.
    meters: HashMap<(u32, i64), Vec<u32>>,
}

impl Start {
    pub fn new(counted: AtOnce) -> Self {
        let mut meters: HashMap<(u32, i64), Vec<u32>> = HashMap::new();
        for key in counted.totals.keys() {
            meters.entry((key.customer, key.period_start)).or_default().push(key.meter);
        }
        Self { counted, meters }
    }

    /// Takes a record off that is replayed.
    pub fn take_off(&mut self, record: &Record) {
        if record.number >= self.counted.next_record || record.in_shadow {
            return;
        }
        for draw in &record.draws {
            let period_start = record.period.start;
            let key = TotalKey { customer: record.customer, meter: draw.meter, period_start };
            let Some(total) = self.counted.totals.get_mut(&key) else { continue };
            total.included -= draw.included;
            total.extra -= draw.extra;
            total.credits -= draw.credits;
            total.overage -= draw.overage;
            total.uncovered -= draw.uncovered;
        }
        for lot in &record.lots {
            let lots = self.counted.lots.get_mut(&record.customer);
            let known = lots.and_then(|lots| lots.iter_mut().find(|(known, _)| known.grant == lot.grant));
            if let Some((_, units)) = known {
                *units += lot.units;
            }
        }
    }

    pub fn lots(&self, customer: u32) -> Vec<Lot> {
        let lots = self.counted.lots.get(&customer).into_iter().flatten();
        lots.map(|(lot, units)| Lot { units: unsigned(*units), ..*lot }).collect()
    }

    /// With the customer's subscriptions.
    pub fn overridden(&self, customer: u32) -> Option<&(OverrideRow, Vec<Facts>)> {
        self.counted.overrides.get(&customer)
    }

    /// Units by meter that an operator has set.
    pub fn included(row: &OverrideRow, mapping: &Mapping) -> Vec<Option<Allowance>> {
        let meters = mapping.catalogue.meters.by_number().iter();
        meters.map(|meter| row.included.get(&*meter.name).copied()).collect()
    }

    pub fn window(
        &self,
        customer: u32,
        period: Period,
        mapping: &mut Mapping,
        books: &Books,
    ) -> Result<Window, Failure> {
        let mut window = Window::new(period, smallvec![0; mapping.catalogue.meters.by_number().len()]);
        for meter in self.meters.get(&(customer, period.start)).into_iter().flatten() {
            let key = TotalKey { customer, meter: *meter, period_start: period.start };
            let (Some(MeterId(at)), Some(total)) =
                (mapping.meter(*meter, books)?, self.counted.totals.get(&key))
            else {
                continue;
            };
            window.used[usize::from(at)] = unsigned(total.included + total.overage);
            let [extra, credits, uncovered] = [total.extra, total.credits, total.uncovered].map(unsigned);
            window.add_unbilled(MeterId(at), Unbilled { extra, credits, uncovered });
        }
        Ok(window)
    }
}

fn unsigned(units: i64) -> u64 {
    u64::try_from(units).unwrap_or(0)
}
