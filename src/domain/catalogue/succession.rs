//! One catalogue after another in one process.
//!
//! Accounts, counters, records and what nodes tell each other go by the numbers of meters, tiers and routes, and
//! tiers by the bits of features. So a number is given once in the life of the process:
//!
//! - What has a name that was there before keeps its number, wherever the file lists it now.
//! - What is new gets the next number.
//! - What is left out keeps its number, retired: a retired route matches nothing, a retired tier is sold to nobody,
//!   a retired meter is costed by nobody. What is under way when that happens ends as it began.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use http::Method;

use super::Catalogue;
use super::numbered::Numbered;
use crate::domain::measure::Measured;
use crate::domain::route::{Extras, Methods, Route, RouteId, RouteTable};
use crate::domain::tier::{Allowance, FeatureSet, MemberTerms, Overage, Tier, TierId};
use crate::domain::units::{Cost, MeterId};

/// All numbers of a kind are given, the retired ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("with those that are no longer listed there are too many {0}; restart to forget those")]
pub struct OutOfNumbers(&'static str);

/// The numbers of what a new catalogue lists, by its own positions.
struct Numbers {
    meters: Vec<usize>,
    tiers: Vec<usize>,
    features: Vec<usize>,
    scopes: Vec<usize>,
    routes: Vec<usize>,
    /// Meters in all.
    all_meters: usize,
}

impl Catalogue {
    /// This catalogue, as it was read, with the numbers of the one before.
    ///
    /// # Errors
    /// Where there are no more numbers of some kind.
    pub fn succeeding(self, before: &Self) -> Result<Self, OutOfNumbers> {
        let (features, feature_numbers) = names(&before.features, &self.features);
        let (scopes, scope_numbers) = names(&before.scopes, &self.scopes);
        let meters_before = before.meters.by_number().iter().map(|meter| &*meter.name);
        let (meters, all_meters) = numbers(meters_before, self.meters.iter().map(|meter| &*meter.name));
        let tiers_before = before.tiers.by_number().iter().map(|tier| &*tier.name);
        let (tiers, all_tiers) = numbers(tiers_before, self.tiers.iter().map(|tier| &*tier.name));
        let routes_before = before.routes.by_number().iter().map(route_name);
        let routes = self.routes.iter().map(route_name);
        let (routes, all_routes) = numbers(routes_before, routes);
        bounded("features", features.len(), FeatureSet::CAPACITY)?;
        bounded("scopes", scopes.len(), FeatureSet::CAPACITY)?;
        for (kind, count) in [("meters", all_meters), ("tiers", all_tiers), ("routes", all_routes)] {
            bounded(kind, count, usize::from(u16::MAX))?;
        }
        let numbers =
            Numbers { meters, tiers, features: feature_numbers, scopes: scope_numbers, routes, all_meters };
        Ok(Self {
            meters: numbers.meters(&self, before),
            tiers: numbers.tiers(&self, before),
            default_tier: self.default_tier.map(|tier| numbers.tier_id(tier)),
            anonymous_tier: self.anonymous_tier.map(|tier| numbers.tier_id(tier)),
            routes: numbers.routes(&self, before),
            features,
            scopes,
            ..self
        })
    }
}

impl Numbers {
    fn meters(&self, new: &Catalogue, before: &Catalogue) -> Numbered<super::Meter> {
        join(before.meters.by_number(), new.meters.iter().cloned(), &self.meters)
    }

    fn tiers(&self, new: &Catalogue, before: &Catalogue) -> Numbered<Arc<Tier>> {
        let longer: Vec<_> = before.tiers.by_number().iter().map(|tier| self.longer(tier)).collect();
        let tiers = new.tiers.iter().zip(&self.tiers).map(|(tier, number)| {
            let own = before.tiers.get(*number).map(|tier| &**tier);
            Arc::new(self.tier(tier, *number, own))
        });
        join(&longer, tiers, &self.tiers)
    }

    fn routes(&self, new: &Catalogue, before: &Catalogue) -> RouteTable {
        let routes = new.routes.iter().zip(&self.routes).map(|(route, number)| self.route(route, *number));
        let fallback = new.routes.fallback().map(|id| RouteId(number(&self.routes, id.index())));
        let routes = join(before.routes.numbered().by_number(), routes, &self.routes);
        RouteTable::renumbered(routes, fallback)
    }

    /// A tier as it was, with places for the meters that have come.
    fn longer(&self, tier: &Arc<Tier>) -> Arc<Tier> {
        if tier.included.len() == self.all_meters {
            return tier.clone();
        }
        let mut longer = Tier::clone(tier);
        longer.included.resize(self.all_meters, Allowance::Units(0));
        if let Overage::Priced { unit_amounts, .. } = &mut longer.overage {
            unit_amounts.resize(self.all_meters, rust_decimal::Decimal::ZERO);
        }
        Arc::new(longer)
    }

    /// `before`: the tier of this name as it was. What it says of retired meters still holds for what is under way.
    fn tier(&self, tier: &Tier, number: usize, before: Option<&Tier>) -> Tier {
        let unlimited = Allowance::Unlimited;
        let mut included = before.map_or_else(Vec::new, |before| before.included.clone());
        included.resize(self.all_meters, unlimited);
        self.put(&mut included, &tier.included);
        let overage = match &tier.overage {
            Overage::Deny => Overage::Deny,
            Overage::Priced { unit_amounts, cap } => {
                let mut amounts = match before.map(|before| &before.overage) {
                    Some(Overage::Priced { unit_amounts, .. }) => unit_amounts.clone(),
                    _ => Vec::new(),
                };
                amounts.resize(self.all_meters, rust_decimal::Decimal::ZERO);
                self.put(&mut amounts, unit_amounts);
                Overage::Priced { unit_amounts: amounts, cap: *cap }
            }
        };
        let member = tier.member.as_deref().map(|member| {
            let mut included = vec![unlimited; self.all_meters];
            self.put(&mut included, &member.included);
            Arc::new(MemberTerms { included, ..member.clone() })
        });
        let features = tier.features.moved(&self.features);
        Tier { id: TierId(narrow(number)), included, overage, features, member, ..tier.clone() }
    }

    fn route(&self, route: &Route, number: usize) -> Route {
        let extras = route
            .extras
            .as_deref()
            .map(|extras| Arc::new(Extras { scopes: extras.scopes.moved(&self.scopes), ..extras.clone() }));
        let measured =
            |measured: &Measured| Measured { meter: self.meter(measured.meter), ..measured.clone() };
        Route {
            id: RouteId(narrow(number)),
            cost: Cost::new(route.cost.iter().map(|(meter, units)| (self.meter(meter), units))),
            measures: route.measures.iter().map(measured).collect(),
            requires: route.requires.moved(&self.features),
            extras,
            ..route.clone()
        }
    }

    fn tier_id(&self, tier: TierId) -> TierId {
        TierId(number(&self.tiers, tier.index()))
    }

    fn meter(&self, meter: MeterId) -> MeterId {
        MeterId(number(&self.meters, meter.index()))
    }

    /// Puts what stands by position where the meters' numbers say.
    fn put<T: Clone>(&self, by_number: &mut [T], by_position: &[T]) {
        for (number, value) in self.meters.iter().zip(by_position) {
            by_number[*number] = value.clone();
        }
    }
}

/// By number those that were there, replaced or followed by those that are new.
fn join<T: Clone>(before: &[T], new: impl Iterator<Item = T>, numbers: &[usize]) -> Numbered<T> {
    let mut all = before.to_vec();
    for (number, value) in numbers.iter().zip(new) {
        // New ones are numbered in their order.
        match all.get_mut(*number) {
            Some(place) => *place = value,
            None => all.push(value),
        }
    }
    Numbered::new(all, numbers.to_vec())
}

/// A number for each of `new`, and how many there are in all.
fn numbers<N: Eq + Hash>(
    before: impl IntoIterator<Item = N>,
    new: impl IntoIterator<Item = N>,
) -> (Vec<usize>, usize) {
    let mut known: HashMap<N, usize> = before.into_iter().zip(0..).collect();
    let numbers = new.into_iter().map(|name| {
        let next = known.len();
        *known.entry(name).or_insert(next)
    });
    let numbers = numbers.collect();
    (numbers, known.len())
}

/// All names by number, and the numbers of the new ones.
fn names(before: &[String], new: &[String]) -> (Vec<String>, Vec<usize>) {
    let (numbers, _) = numbers(before, new);
    let all = join(before, new.iter().cloned(), &numbers);
    (all.by_number().to_vec(), numbers)
}

/// Two routes are one if they answer the same requests. The fallback's pattern is no path.
fn route_name(route: &Route) -> (&str, Vec<&str>) {
    let mut methods: Vec<_> = match &route.methods {
        Methods::All => Vec::new(),
        Methods::These(list) => list.iter().map(Method::as_str).collect(),
    };
    methods.sort_unstable();
    (&route.pattern, methods)
}

fn bounded(kind: &'static str, count: usize, most: usize) -> Result<(), OutOfNumbers> {
    if count > most { Err(OutOfNumbers(kind)) } else { Ok(()) }
}

fn number(numbers: &[usize], position: usize) -> u16 {
    narrow(numbers[position])
}

/// All are bounded before.
fn narrow(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
