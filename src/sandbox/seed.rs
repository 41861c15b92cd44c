//! A catalogue to begin with, made through the same operations as any request's.

use super::error::ApiError;
use super::params::Params;
use super::prices::{self, by_lookup_key};
use super::state::{Metadata, State};
use super::subscriptions::{self, Order, OrderItem};
use super::{customers, meters, products};

/// Tiers whose usage one meter counts.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub currency: String,
    /// The meter's event name.
    pub event_name: String,
    /// The last part of the metered prices' lookup keys and ids.
    pub meter: String,
    pub tiers: Vec<SeedTier>,
    /// With `Some("demo")` prices are called `price_demo_<tier>_monthly`, `_yearly`, `_<meter>`.
    pub id_prefix: Option<String>,
}

#[derive(Debug, Clone)]
pub struct SeedTier {
    pub name: String,
    pub monthly_cents: Option<u64>,
    pub yearly_cents: Option<u64>,
    /// Units that cost nothing.
    pub included: u64,
    /// Cents per unit beyond them, a decimal string; `None`: no metered price.
    pub overage_cents: Option<String>,
}

/// What was made for a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeededTier {
    pub name: String,
    pub product: String,
    pub monthly: Option<String>,
    pub yearly: Option<String>,
    pub metered: Option<String>,
}

/// A customer who pays for a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    pub customer: String,
    pub subscription: String,
}

pub fn catalogue(state: &mut State, now: i64, wanted: &Catalogue) -> Result<Vec<SeededTier>, ApiError> {
    let existing = meters::active(state, &wanted.event_name).map(|meter| meter.id.clone());
    let meter = match existing {
        Some(meter) => meter,
        None => seed_meter(state, now, &wanted.event_name)?,
    };
    let mut seeded = Vec::new();
    for tier in &wanted.tiers {
        seeded.push(seed_tier(state, now, wanted, tier, &meter)?);
    }
    Ok(seeded)
}

fn seed_meter(state: &mut State, now: i64, event_name: &str) -> Result<String, ApiError> {
    let params = Params::of(&[
        ("display_name", event_name),
        ("event_name", event_name),
        ("default_aggregation[formula]", "sum"),
    ])?;
    meters::insert(state, now, &params)
}

fn seed_tier(
    state: &mut State,
    now: i64,
    wanted: &Catalogue,
    tier: &SeedTier,
    meter: &str,
) -> Result<SeededTier, ApiError> {
    let product = Params::of(&[("name", &tier.name), ("metadata[tollgate_tier]", &tier.name)])?;
    let product = products::insert(state, now, &product)?;
    let mut price = |suffix: &str, details: &[(&str, &str)]| {
        let key = format!("tollgate_{}_{suffix}", tier.name);
        let mut pairs = vec![
            ("product", product.as_str()),
            ("currency", &wanted.currency),
            ("lookup_key", &key),
            ("transfer_lookup_key", "true"),
        ];
        pairs.extend_from_slice(details);
        let id = wanted.id_prefix.as_ref().map(|prefix| format!("price_{prefix}_{}_{suffix}", tier.name));
        prices::insert(state, now, &Params::of(&pairs)?, id)
    };
    let mut flat = |suffix: &str, interval: &str, cents: Option<u64>| {
        let cents = cents.map(|cents| cents.to_string());
        cents
            .map(|cents| price(suffix, &[("unit_amount", &cents), ("recurring[interval]", interval)]))
            .transpose()
    };
    let monthly = flat("monthly", "month", tier.monthly_cents)?;
    let yearly = flat("yearly", "year", tier.yearly_cents)?;
    let included = tier.included.to_string();
    let metered = tier.overage_cents.as_ref().map(|overage| {
        let mut details = vec![
            ("billing_scheme", "tiered"),
            ("tiers_mode", "graduated"),
            ("recurring[interval]", "month"),
            ("recurring[usage_type]", "metered"),
            ("recurring[meter]", meter),
        ];
        if tier.included > 0 {
            details.extend([("tiers[0][up_to]", included.as_str()), ("tiers[0][unit_amount]", "0")]);
        }
        details.extend([("tiers[1][up_to]", "inf"), ("tiers[1][unit_amount_decimal]", overage)]);
        price(&wanted.meter, &details)
    });
    let metered = metered.transpose()?;
    Ok(SeededTier { name: tier.name.clone(), product, monthly, yearly, metered })
}

/// A new customer with a monthly subscription to a seeded tier; `reference` is what the customer is called
/// elsewhere, stored as `metadata.tollgate_customer`.
pub fn subscribed_customer(
    state: &mut State,
    now: i64,
    tier: &str,
    reference: Option<&str>,
) -> Result<Subscribed, ApiError> {
    let key = format!("tollgate_{tier}_monthly");
    let flat =
        by_lookup_key(state, &key).ok_or_else(|| ApiError::no_such_reference("price", &key, "tier"))?;
    let (flat, product) = (flat.id.clone(), flat.product.clone());
    let metered = state.prices.iter().find(|price| price.product == product && price.meter().is_some());
    let metered = metered.map(|price| price.id.clone());

    let mut metadata = Metadata::new();
    metadata.extend(reference.map(|name| ("tollgate_customer".to_owned(), name.to_owned())));
    let mut pairs = vec![("name", reference.unwrap_or(tier))];
    pairs.extend(reference.map(|name| ("metadata[tollgate_customer]", name)));
    let customer = customers::insert(state, now, &Params::of(&pairs)?);
    let item = |(price, quantity)| OrderItem { price, quantity, metadata: Metadata::new() };
    let prices = std::iter::once((flat, Some(1))).chain(metered.map(|price| (price, None)));
    let order =
        Order { customer: customer.clone(), items: prices.map(item).collect(), metadata, ..Order::default() };
    let subscription = subscriptions::open(state, now, order)?;
    Ok(Subscribed { customer, subscription })
}

/// So many customers, subscribed to a seeded tier and called `<prefix>_<n>` from 0 on, without an event.
pub fn subscribed_customers(
    state: &mut State,
    now: i64,
    tier: &str,
    prefix: &str,
    count: u64,
) -> Result<Vec<Subscribed>, ApiError> {
    let quiet = std::mem::replace(&mut state.options.quiet, true);
    let one = |n: u64| subscribed_customer(state, now, tier, Some(&format!("{prefix}_{n}")));
    let made = (0..count).map(one).collect();
    state.options.quiet = quiet;
    made
}
