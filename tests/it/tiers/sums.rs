//! Stripe's invoice for n units is what the tier says that n units cost: for every tier, cycle and meter, around every
//! edge and at random.

use std::path::Path;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::Value;
use tollgate::config;
use tollgate::domain::catalogue::Catalogue;
use tollgate::domain::tier::{Allowance, Tier};
use tollgate::domain::units::MeterId;

use super::{Shop, done, price};
use crate::harness::{Dice, Stripe};

/// Random mixtures beside the edges.
const MIXTURES: usize = 4;
/// Stripe takes values of up to 15 digits.
const BIG: u64 = 123_456_789_012;

fn catalogue(path: &Path) -> Arc<Catalogue> {
    config::load(path).unwrap_or_else(|error| panic!("{error}")).catalogue
}

/// Units of each meter.
fn cases(catalogue: &Catalogue, tier: &Tier, dice: &mut Dice) -> Vec<Vec<u64>> {
    let edges = |meter| match tier.included(meter) {
        Allowance::Unlimited => [0, 1, 2, 3, 4, BIG],
        Allowance::Units(included) => [0, 1, included.saturating_sub(1), included, included + 1, BIG],
    };
    let of_all = |pick: &mut dyn FnMut(MeterId) -> u64| catalogue.meter_ids().map(pick).collect::<Vec<_>>();
    let mut cases: Vec<_> = (0..6).map(|at| of_all(&mut |meter| edges(meter)[at])).collect();
    for _ in 0..MIXTURES {
        cases.push(of_all(&mut |meter| match dice.below(3) {
            0 => edges(meter)[dice.below(6)],
            1 => dice.roll() % 100_000,
            _ => dice.roll() % 1_000_000_000_000,
        }));
    }
    cases
}

/// What a tier's invoice must come to, in minor units: each meter is a line, and rounded by itself.
fn expected(catalogue: &Catalogue, tier: &Tier, flat: Option<Decimal>, units: &[u64]) -> i64 {
    let currency = catalogue.currency;
    let overage = catalogue.meter_ids().zip(units);
    let overage = overage.map(|(meter, units)| currency.round(tier.overage_amount(meter, *units)));
    let total: Decimal = overage.chain(flat).sum();
    currency.minor(total).expect("whole minor units")
}

/// Subscribes somebody to the prices, uses the units, and answers what the next invoice comes to.
async fn invoiced(
    stripe: &Stripe,
    catalogue: &Catalogue,
    tier: &Tier,
    prices: &[String],
    units: &[u64],
) -> i64 {
    let customer = stripe.post("/v1/customers", &[]).await["id"].as_str().expect("an id").to_owned();
    let names: Vec<_> = (0..prices.len()).map(|at| format!("items[{at}][price]")).collect();
    let mut form = vec![("customer", customer.as_str()), ("billing_mode[type]", "flexible")];
    form.extend(names.iter().map(String::as_str).zip(prices.iter().map(String::as_str)));
    let subscription = stripe.post("/v1/subscriptions", &form).await;
    for (meter, used) in catalogue.meter_ids().zip(units) {
        let included = tier.included(meter).units().min(*used);
        let signed = |units: u64| i64::try_from(units).expect("units");
        let value = catalogue.report.reportable(signed(included), signed(used - included)).to_string();
        if value != "0" {
            let event = [
                ("event_name", &*catalogue.meter(meter).stripe_event_name),
                ("payload[stripe_customer_id]", &customer),
                ("payload[value]", &value),
            ];
            stripe.post("/v1/billing/meter_events", &event).await;
        }
    }
    let id = subscription["id"].as_str().expect("an id");
    stripe.post("/v1/invoices/create_preview", &[("subscription", id)]).await["total"]
        .as_i64()
        .expect("a total")
}

async fn check(over: &str, dice: &mut Dice) {
    let stripe = Stripe::alone().await;
    let shop = Shop::of(&stripe.url(), over);
    done(&shop.tiers(&["apply", "--yes"]));
    let catalogue = catalogue(&shop.path());
    let mut compared = 0;
    for tier in catalogue.tiers.iter() {
        let mut metered = Vec::new();
        for meter in catalogue.meter_ids().filter(|meter| tier.charges(*meter).is_some()) {
            metered.push(id(&price(&stripe, &key(tier, &catalogue.meter(meter).name)).await));
        }
        for (cycle, amount) in [("monthly", tier.price.monthly), ("yearly", tier.price.yearly)] {
            let Some(amount) = amount else { continue };
            let mut prices = vec![id(&price(&stripe, &key(tier, cycle)).await)];
            prices.extend(metered.iter().cloned());
            // The next invoice beside a yearly price is a month's usage alone.
            let flat = (cycle == "monthly" || metered.is_empty()).then_some(amount);
            for units in cases(&catalogue, tier, dice) {
                let total = invoiced(&stripe, &catalogue, tier, &prices, &units).await;
                let case = format!("{over} {} {cycle} {units:?}", tier.name);
                assert_eq!(total, expected(&catalogue, tier, flat, &units), "{case}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 4 * (6 + MIXTURES), "every cycle of every tier");
}

fn key(tier: &Tier, suffix: &str) -> String {
    format!("tollgate_{}_{suffix}", tier.name)
}

fn id(price: &Value) -> String {
    price["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_invoice_is_what_the_tier_says_in_currencies_of_two_none_and_three_decimals() {
    let mut dice = Dice::new("the_invoice_is_what_the_tier_says");
    for currency in ["usd", "jpy", "kwd"] {
        check(&format!("[billing]\ncurrency = \"{currency}\""), &mut dice).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_invoice_is_the_same_where_only_overage_is_reported() {
    let mut dice = Dice::new("the_invoice_is_the_same_where_only_overage_is_reported");
    check("[billing]\nreport = \"overage\"", &mut dice).await;
}
