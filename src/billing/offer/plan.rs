//! What is to be done so that Stripe has what is offered.

use std::sync::Arc;

use crate::domain::offer::{Offer, OfferedPrice, OfferedTier, Terms};
use crate::domain::units::Meter;
use crate::stripe::{SoldPrice, SoldProduct};

use super::Found;

/// A metered price is only half of what its units cost.
const MOVE_FIRST: &str = "what is included, capped, shown and reported is the configuration's for who pays the old one \
                          too: move their subscriptions to the new one before the configuration is in force";

/// In the order in which it is made: meters, then each tier's product and prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub subject: Subject,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Meter {
        name: Arc<str>,
        event_name: Arc<str>,
    },
    Product {
        tier: Arc<str>,
        /// Of the one that is there, or will be.
        id: String,
    },
    Price {
        tier: Arc<str>,
        lookup_key: String,
        product: String,
        /// None where nothing is offered.
        terms: Option<Terms>,
        event_name: Option<Arc<str>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Stripe has it as it is offered.
    AsOffered { id: String },
    /// Stripe does not have it.
    Missing,
    /// A new price takes over the lookup key of this one.
    Replaced(Replaced),
    /// Nobody but a person can do something about it; `why` says what.
    ByHand { id: Option<String>, why: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub id: String,
    /// Its lookup key is noted on it already.
    pub is_noted: bool,
    pub tax_behavior: Option<String>,
    pub why: Vec<String>,
}

impl Plan {
    /// `replace`: prices that differ are replaced by new ones, where they have their lookup key.
    pub fn of(offer: &Offer, found: &Found, replace: bool) -> Self {
        let meters = offer.meters.iter().map(|meter| meter_entry(meter, found));
        let mut plan = Self { entries: meters.collect() };
        for tier in &offer.tiers {
            let planner = Planner { tier, found, replace };
            planner.plan(&mut plan);
        }
        plan
    }

    /// How many are to be made.
    pub fn to_make(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_to_make()).count()
    }

    /// How many only a person can change.
    pub fn by_hand(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.state, State::ByHand { .. })).count()
    }

    pub fn is_settled(&self) -> bool {
        self.to_make() == 0 && self.by_hand() == 0
    }

    fn meter(&self, name: &str) -> Option<&State> {
        self.entries.iter().find_map(|entry| match &entry.subject {
            Subject::Meter { event_name, .. } if &**event_name == name => Some(&entry.state),
            _ => None,
        })
    }
}

impl Entry {
    pub fn is_to_make(&self) -> bool {
        matches!(self.state, State::Missing | State::Replaced(_))
    }
}

fn meter_entry(meter: &Meter, found: &Found) -> Entry {
    let ours = || found.meters.iter().filter(|known| known.event_name == *meter.stripe_event_name);
    // One that was given up because of its flaws is out of the way: Stripe takes another of its name.
    let of_use = || ours().find(|known| known.flaws().is_empty());
    let state = match ours().find(|known| known.active).or_else(of_use) {
        None => State::Missing,
        Some(known) if !known.active => {
            let why = "it is inactive, and takes no usage: reactivate it at Stripe";
            state_of(&known.id, vec![why.to_owned()])
        }
        Some(known) => {
            let mut why = known.flaws();
            if !why.is_empty() {
                let name = &meter.name;
                why.push(format!(
                    "Stripe never changes that: set another stripe_event_name in [meters.{name}], have another meter \
                     and, with --replace, other prices made, and move the subscriptions to those: theirs count what \
                     this meter counts"
                ));
            }
            state_of(&known.id, why)
        }
    };
    let (name, event_name) = (meter.name.clone(), meter.stripe_event_name.clone());
    Entry { subject: Subject::Meter { name, event_name }, state }
}

fn state_of(id: &str, why: Vec<String>) -> State {
    let id = id.to_owned();
    if why.is_empty() { State::AsOffered { id } } else { State::ByHand { id: Some(id), why } }
}

/// Plans one tier.
struct Planner<'a> {
    tier: &'a OfferedTier,
    found: &'a Found,
    replace: bool,
}

impl Planner<'_> {
    fn plan(&self, plan: &mut Plan) {
        let (id, state) = self.product();
        let subject = Subject::Product { tier: self.tier.name.clone(), id: id.clone() };
        plan.entries.push(Entry { subject, state });
        for price in &self.tier.prices {
            // One that is replaced stays in its product.
            let own = self.by_key(&price.lookup_key).map(|sold| &sold.product);
            let product = own.filter(|own| !self.is_archived(own)).unwrap_or(&id);
            let state = self.price(price, plan, product);
            let subject = self.subject(&price.lookup_key, product, Some(price));
            plan.entries.push(Entry { subject, state });
        }
        for key in &self.tier.vacant {
            let Some(sold) = self.by_key(key).filter(|sold| sold.active) else { continue };
            let why = format!(
                "Stripe sells it for {}, and the configuration says nothing of it: archive it at Stripe, or \
                 configure it",
                sold.terms.told()
            );
            let state = State::ByHand { id: Some(sold.id.clone()), why: vec![why] };
            plan.entries.push(Entry { subject: self.subject(key, &sold.product, None), state });
        }
    }

    fn subject(&self, lookup_key: &str, product: &str, offered: Option<&OfferedPrice>) -> Subject {
        Subject::Price {
            tier: self.tier.name.clone(),
            lookup_key: lookup_key.to_owned(),
            product: product.to_owned(),
            terms: offered.map(|price| price.terms.clone()),
            event_name: offered.and_then(|price| price.event_name.clone()),
        }
    }

    /// That of the prices that are there; else the one that is made for the tier.
    fn product(&self) -> (String, State) {
        let by_key = self.tier.lookup_keys().filter_map(|key| self.by_key(key));
        let of_price =
            self.named().chain(by_key).find(|price| price.active).map(|price| price.product.clone());
        let id = of_price.unwrap_or_else(|| self.tier.product());
        let known = self.found.products.iter().find(|product| product.id == id);
        let state = match known {
            None => State::Missing,
            Some(SoldProduct { active: true, .. }) => State::AsOffered { id: id.clone() },
            Some(_) => {
                let why = "it is archived, and nothing of it can be bought: unarchive it at Stripe";
                State::ByHand { id: Some(id.clone()), why: vec![why.to_owned()] }
            }
        };
        (id, state)
    }

    fn is_archived(&self, product: &str) -> bool {
        self.found.products.iter().any(|known| known.id == product && !known.active)
    }

    fn price(&self, offered: &OfferedPrice, plan: &Plan, product: &str) -> State {
        let meter = offered.event_name.as_ref().and_then(|name| plan.meter(name));
        let meter_id = match meter {
            Some(State::AsOffered { id } | State::ByHand { id: Some(id), .. }) => Some(id.as_str()),
            _ => None,
        };
        if let Some(named) = self.named().find(|price| fills(price, offered, meter_id)) {
            let mut why = differences(named, offered, meter_id);
            if !why.is_empty() {
                why.push(
                    "a price never changes at Stripe, and stripe_prices names this one: take it out there, and \
                     `tollgate tiers apply` makes another"
                        .to_owned(),
                );
            }
            return state_of(&named.id, why);
        }
        let keyed = self.by_key(&offered.lookup_key);
        let mut why = keyed.map(|price| differences(price, offered, meter_id)).unwrap_or_default();
        if keyed.is_some_and(|price| !price.active) {
            why.push("it is archived".to_owned());
        }
        if let Some(price) = keyed.filter(|_| why.is_empty()) {
            return State::AsOffered { id: price.id.clone() };
        }
        let lacks_meter = offered.event_name.is_some() && matches!(meter, Some(State::ByHand { .. }) | None);
        let hindrances = [
            offered.flaw.clone(),
            lacks_meter.then(|| "it needs its meter, which is to be changed by hand first".to_owned()),
            self.is_archived(product).then(|| "it needs its product, which is archived".to_owned()),
        ];
        let hindrances: Vec<String> = hindrances.into_iter().flatten().collect();
        let move_first = offered.terms.metered.then(|| MOVE_FIRST.to_owned());
        match keyed {
            _ if !hindrances.is_empty() => {
                why.extend(hindrances);
                State::ByHand { id: keyed.map(|price| price.id.clone()), why }
            }
            None => State::Missing,
            Some(price) if self.replace => State::Replaced(Replaced {
                id: price.id.clone(),
                is_noted: price.noted_key.as_ref() == Some(&offered.lookup_key),
                tax_behavior: price.tax_behavior.clone(),
                why: why.into_iter().chain(move_first).collect(),
            }),
            Some(price) => {
                why.push(
                    "a price never changes at Stripe: with --replace a new one takes over its lookup key, and who \
                     pays this one goes on paying it"
                        .to_owned(),
                );
                why.extend(move_first);
                State::ByHand { id: Some(price.id.clone()), why }
            }
        }
    }

    /// What `stripe_prices` names, in its order; as far as Stripe has it.
    fn named(&self) -> impl Iterator<Item = &SoldPrice> {
        self.tier.named.iter().filter_map(|id| self.found.prices.iter().find(|price| price.id == *id))
    }

    fn by_key(&self, key: &str) -> Option<&SoldPrice> {
        let keyed = || self.found.prices.iter().filter(|price| price.lookup_key.as_deref() == Some(key));
        keyed().find(|price| price.active).or_else(|| keyed().next())
    }
}

/// Whether a price that is named is sold in the place of what is offered, as the price book decides it.
fn fills(price: &SoldPrice, offered: &OfferedPrice, meter: Option<&str>) -> bool {
    let in_place = match &price.meter {
        Some(its) => offered.event_name.is_some() && Some(its.as_str()) == meter,
        None => offered.event_name.is_none() && price.terms.every == offered.terms.every,
    };
    price.active && price.terms.currency == offered.terms.currency && in_place
}

fn differences(price: &SoldPrice, offered: &OfferedPrice, meter: Option<&str>) -> Vec<String> {
    let mut differences = offered.terms.differences(&price.terms);
    if offered.terms.metered && price.terms.metered && price.meter.as_deref() != meter {
        let counted = price.meter.as_deref().unwrap_or("no meter");
        let wanted = offered.event_name.as_deref().unwrap_or_default();
        differences.push(format!("it counts {counted}, not the meter of `{wanted}`"));
    }
    differences.extend(price.oddities.iter().cloned());
    differences
}
