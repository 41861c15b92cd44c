//! What turns out of an exchange after it has been decided over.
//!
//! An exchange that is open a minute after it was charged comes to what it would have come to if it had been told in
//! time: its charge is kept until then, and corrected as the gateway corrects an estimate.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::smallvec;

use super::Replay;
use crate::cli::Failure;
use crate::cli::books::Books;
use crate::cli::whatif::exchanges::{Late, Units, add};
use crate::cli::whatif::tally::Tally;
use crate::domain::account::{Account, Terms};
use crate::domain::measure::TrueCost;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Charge, Draw, Now, signed};

/// By number, the latest of them: twice as many as `MOST`, at most.
pub(super) struct Recent<T, const MOST: usize> {
    young: HashMap<u64, T>,
    old: HashMap<u64, T>,
}

impl<T, const MOST: usize> Default for Recent<T, MOST> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T, const MOST: usize> Recent<T, MOST> {
    pub fn insert(&mut self, number: u64, of: T) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(number, of);
    }

    pub fn contains(&self, number: u64) -> bool {
        self.young.contains_key(&number) || self.old.contains_key(&number)
    }

    pub fn remove(&mut self, number: u64) -> Option<T> {
        self.young.remove(&number).or_else(|| self.old.remove(&number))
    }
}

/// A charge whose truth is still to be told.
pub(super) struct Open {
    /// The record that its exchange began with.
    pub first: u64,
    pub charge: Charge,
    /// In force when it was charged.
    pub terms: Arc<Terms>,
    /// As they were recorded.
    pub units: Units,
}

impl Replay {
    /// A change that came too late to be decided with its exchange.
    pub(super) fn change(&mut self, late: &Late, books: &Books) -> Result<(), Failure> {
        if late.of.is_some_and(|of| self.free.contains(of)) {
            return Ok(());
        }
        let Some(open) = late.of.and_then(|of| self.open.remove(of)) else {
            return self.change_charged(late, books);
        };
        let Open { first, charge, terms, mut units } = open;
        let is_taken_back = add(&mut units, &late.units);
        let told = self.units(&units, books)?;
        let route = self.mapping.route(late.route, late.method, books)?.ok();
        let measures = route.map(|id| &*self.mapping.catalogue.routes.get(id).measures).unwrap_or_default();
        let measured = |meter| measures.iter().any(|measured| measured.meter == meter);
        if is_taken_back && charge.draws.iter().any(|draw| !measured(draw.meter)) {
            self.nothing.insert(first, ());
        }
        let truth = charge.draws.iter().map(|draw| {
            let told = told.iter().find(|(meter, _)| *meter == draw.meter && measured(*meter));
            let told = told.map(|(_, units)| u64::try_from(*units).unwrap_or(0));
            (draw.meter, if is_taken_back { 0 } else { told.unwrap_or(draw.units()) })
        });
        let truth = TrueCost::new(&Cost::default(), truth);
        let meters = self.mapping.catalogue.meters.by_number().len();
        let Some(state) = self.customers.get_mut(&late.customer) else { return Ok(()) };
        let correction = state.account.correct(&charge, &truth, &terms, late.at);
        state.tallies.of(late.tier, meters).corrected(&correction, &terms);
        Ok(())
    }

    /// Of an exchange that was charged before all that is replayed: as it was recorded; or of one that was charged as a
    /// whole, and was not due.
    fn change_charged(&mut self, late: &Late, books: &Books) -> Result<(), Failure> {
        let mut changes = self.units(&late.units, books)?;
        let route = self.mapping.route(late.route, late.method, books)?;
        let catalogue = &self.mapping.catalogue;
        if let (Some(_), Ok(id)) = (late.of, route) {
            let route = catalogue.routes.get(id);
            let measured = |meter: MeterId| route.measures.iter().any(|measured| measured.meter == meter);
            changes.retain(|(meter, _)| measured(*meter));
            let fixed = route.cost.iter().filter(|(meter, _)| !measured(*meter));
            changes.extend(fixed.map(|(meter, units)| (meter, -signed(units))));
        }
        let Some(state) = self.customers.get_mut(&late.customer) else { return Ok(()) };
        let tally = state.tallies.of(late.tier, catalogue.meters.by_number().len());
        for (meter, change) in changes {
            if change > 0 {
                let more = TrueCost::new(&Cost::default(), [(meter, change.unsigned_abs())]);
                let charge = state.account.settle_with(&Cost::default(), &more, None, late.at);
                tally.charged(&charge, state.account.terms());
            } else {
                take_back(&mut state.account, (meter, change.unsigned_abs()), late.at, tally);
            }
        }
        Ok(())
    }
}

/// Takes units back that were charged long ago: those of the window that were drawn last.
fn take_back(account: &mut Account, (meter, units): (MeterId, u64), at: Now, tally: &mut Tally) {
    let (period, terms) = (account.window(at).period, account.terms().clone());
    let draws = smallvec![Draw { included: units, ..Draw::none(meter) }];
    let (lots, key, member) = (Vec::new(), None, None);
    let charge = Charge { period, at, draws, lots, key, member, in_shadow: false };
    let correction = account.correct(&charge, &TrueCost::new(&Cost::default(), [(meter, 0)]), &terms, at);
    tally.corrected(&correction, &terms);
}
