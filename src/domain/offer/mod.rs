//! The offer: what Stripe must have so that what the configuration sells can be bought and billed.
//!
//! A meter for each meter; for each tier with a price a product, a flat price for each of its cycles, and a metered
//! price for each meter whose overage costs something. Metered prices are monthly even beside a yearly one, so that
//! quotas follow the month. With [`Report::All`] the included units are a first step at 0; with [`Report::Overage`]
//! they never reach Stripe. Credit packs need no prices: a checkout describes them itself.

mod terms;

use std::collections::HashMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::catalogue::{Catalogue, Report};
use super::money::Currency;
use super::tier::Tier;
use super::units::Meter;

pub use terms::{Every, Step, Terms};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub meters: Vec<Meter>,
    pub tiers: Vec<OfferedTier>,
}

/// A tier with a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedTier {
    pub name: Arc<str>,
    /// `stripe_prices`: what these stand for comes before what a lookup key stands for.
    pub named: Vec<String>,
    pub prices: Vec<OfferedPrice>,
    /// Lookup keys of prices that the tier could have and has not: what Stripe has under them is sold all the same.
    pub vacant: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedPrice {
    pub lookup_key: String,
    pub terms: Terms,
    /// The event name of its meter, if it is metered.
    pub event_name: Option<Arc<str>>,
    /// Why Stripe would not take it.
    pub flaw: Option<String>,
}

/// Names that cannot be told apart at Stripe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("the lookup key `{0}` would stand for two prices: rename a tier or a meter")]
    TwoPrices(String),
    #[error(
        "the meters `{first}` and `{second}` both report to `{event_name}` at Stripe: each price would charge \
         for both; give one of them a `stripe_event_name` of its own"
    )]
    OneMeter { first: Arc<str>, second: Arc<str>, event_name: Arc<str> },
}

impl OfferedTier {
    /// The id of the product that is made for it.
    pub fn product(&self) -> String {
        format!("tollgate_{}", self.name)
    }
}

impl Offer {
    pub fn of(catalogue: &Catalogue) -> Result<Self, OfferError> {
        let meters: Vec<Meter> = catalogue.meter_ids().map(|id| catalogue.meter(id).clone()).collect();
        let mut known: HashMap<&Arc<str>, &Arc<str>> = HashMap::new();
        for meter in &meters {
            if let Some(first) = known.insert(&meter.stripe_event_name, &meter.name) {
                return Err(OfferError::OneMeter {
                    first: first.clone(),
                    second: meter.name.clone(),
                    event_name: meter.stripe_event_name.clone(),
                });
            }
        }
        let sold = |tier: &&Arc<Tier>| tier.price.monthly.is_some() || tier.price.yearly.is_some();
        let tiers: Vec<_> =
            catalogue.tiers.iter().filter(sold).map(|tier| offered(tier, catalogue)).collect();
        let mut keys: Vec<&str> = tiers.iter().flat_map(OfferedTier::lookup_keys).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(OfferError::TwoPrices(pair[0].to_owned())),
            None => Ok(Self { meters, tiers }),
        }
    }
}

impl OfferedTier {
    /// All under which it could have a price.
    pub fn lookup_keys(&self) -> impl Iterator<Item = &str> {
        self.prices.iter().map(|price| &*price.lookup_key).chain(self.vacant.iter().map(String::as_str))
    }
}

fn offered(tier: &Tier, catalogue: &Catalogue) -> OfferedTier {
    let currency = catalogue.currency;
    let key = |suffix: &str| tier.lookup_key(suffix);
    let (mut prices, mut vacant) = (Vec::new(), Vec::new());
    let flat =
        [("monthly", Every::month(), tier.price.monthly), ("yearly", Every::year(), tier.price.yearly)];
    for (cycle, every, amount) in flat {
        let Some(amount) = amount else {
            vacant.push(key(cycle));
            continue;
        };
        let terms = Terms::flat(currency, every, currency.in_minor(amount));
        let flaw = uncharged(currency, amount, cycle);
        prices.push(OfferedPrice { lookup_key: key(cycle), terms, event_name: None, flaw });
    }
    for id in catalogue.meter_ids() {
        let meter = catalogue.meter(id);
        let Some(amount) = tier.charges(id) else {
            vacant.push(key(&meter.name));
            continue;
        };
        let included = match catalogue.report {
            Report::All => tier.included(id).units(),
            Report::Overage => 0,
        };
        prices.push(OfferedPrice {
            lookup_key: key(&meter.name),
            terms: Terms::overage(currency, included, currency.in_minor(amount)),
            event_name: Some(meter.stripe_event_name.clone()),
            flaw: None,
        });
    }
    OfferedTier { name: tier.name.clone(), named: tier.stripe_prices.clone(), prices, vacant }
}

/// Why an amount cannot be charged as it is.
fn uncharged(currency: Currency, amount: Decimal, cycle: &str) -> Option<String> {
    let smallest = currency.smallest_charge();
    let whole = currency.in_minor(amount).is_integer();
    let minor = currency.in_minor(amount).to_i64().filter(|_| whole);
    if minor.is_some_and(|minor| minor % smallest == 0) {
        return None;
    }
    let (code, smallest) = (currency.code(), currency.major(smallest));
    Some(format!(
        "{amount} {code} cannot be charged: Stripe takes multiples of {smallest} {code}; change price.{cycle} in the \
         configuration"
    ))
}

#[cfg(test)]
mod tests;
