//! Tiers and meters as the configuration has them, against what Stripe has. `tollgate tiers diff` shows all of it.

use futures_util::{StreamExt as _, stream};

use crate::domain::catalogue::Catalogue;
use crate::domain::tier::Tier;
use crate::stripe::{CallError, Meter, PriceObject, list_meters, list_prices, retrieve_price};

use super::Site;
use super::check::Check;
use super::stripe::{advice_for, is_live, mode};

const NAME: &str = "stripe prices";
/// Tiers that are asked for at once.
const AT_ONCE: usize = 8;
const DIFF: &str = "run `tollgate tiers diff`";
const APPLY: &str = "run `tollgate tiers apply`, which makes what is missing";

/// What Stripe has of a tier.
struct Found {
    tier: String,
    /// Those that the configuration names by id.
    named: Vec<(String, Result<Option<PriceObject>, CallError>)>,
    /// Active ones that are found by their lookup keys.
    by_key: Result<Vec<PriceObject>, CallError>,
}

pub(super) async fn check(site: &Site) -> Vec<Check> {
    if !site.has_stripe() {
        return Site::without_stripe(NAME);
    }
    let catalogue = &*site.config.catalogue;
    let meters = match list_meters(&site.stripe).await {
        Ok(meters) => meters,
        Err(error) => return vec![Check::failed(NAME, error.to_string(), advice_for(&error))],
    };
    let mut checks = judge_meters(catalogue, &meters);
    let sold = catalogue.tiers.iter().filter(|tier| is_sold(tier));
    let found: Vec<Found> =
        stream::iter(sold.map(|tier| look(site, catalogue, tier))).buffered(AT_ONCE).collect().await;
    checks.extend(found.iter().flat_map(|found| judge(found, is_live(site))));
    if checks.is_empty() {
        let said =
            format!("{} tiers and {} meters are there; {DIFF} for more", found.len(), catalogue.meters.len());
        checks.push(Check::ok(NAME, said));
    }
    checks
}

fn is_sold(tier: &Tier) -> bool {
    tier.price.monthly.is_some() || tier.price.yearly.is_some() || !tier.stripe_prices.is_empty()
}

async fn look(site: &Site, catalogue: &Catalogue, tier: &Tier) -> Found {
    let mut named = Vec::new();
    for id in &tier.stripe_prices {
        named.push((id.clone(), retrieve_price(&site.stripe, id).await));
    }
    let suffixes = ["monthly", "yearly"].into_iter().chain(catalogue.meters.iter().map(|meter| &*meter.name));
    let keys: Vec<_> = suffixes.map(|suffix| tier.lookup_key(suffix)).collect();
    Found { tier: tier.name.to_string(), named, by_key: list_prices(&site.stripe, &keys).await }
}

fn judge(found: &Found, is_live: bool) -> Vec<Check> {
    let tier = &found.tier;
    let mut checks = Vec::new();
    let mut active = 0;
    for (id, answer) in &found.named {
        let said = |what: &str| format!("tier {tier}: price {id} {what}");
        match answer {
            Ok(Some(price)) if price.active => active += 1,
            Ok(Some(_)) => checks.push(Check::warning(NAME, said("is archived: nobody can buy it"), DIFF)),
            Ok(None) => {
                let advice =
                    "write the id of one that is there, or none: `tollgate tiers apply` makes its own";
                checks.push(Check::failed(NAME, said("is not at Stripe"), advice));
            }
            Err(error) if is_of_other_mode(error) => {
                let other = mode(!is_live);
                let said =
                    said(&format!("is of {other} mode, and stripe.secret_key of {} mode", mode(is_live)));
                let advice = "use prices and key of one mode: make the prices there, or take the other key";
                checks.push(Check::failed(NAME, said, advice));
            }
            Err(error) => checks.push(Check::failed(NAME, said(&error.to_string()), advice_for(error))),
        }
    }
    match &found.by_key {
        Ok(prices) => active += prices.len(),
        Err(error) => checks.push(Check::failed(NAME, format!("tier {tier}: {error}"), advice_for(error))),
    }
    if active == 0 && checks.is_empty() {
        let said = format!("tier {tier} has no price at Stripe: nobody can buy it");
        checks.push(Check::failed(NAME, said, APPLY));
    }
    checks
}

/// Stripe says so in words alone: "a similar object exists in live mode, but a test mode key was used".
fn is_of_other_mode(error: &CallError) -> bool {
    let CallError::Status(error) = error else { return false };
    error.message.as_deref().is_some_and(|message| message.contains("similar object exists in"))
}

fn judge_meters(catalogue: &Catalogue, meters: &[Meter]) -> Vec<Check> {
    let wanted = catalogue.meters.iter();
    wanted.filter_map(|wanted| judge_meter(&wanted.name, &wanted.stripe_event_name, meters)).collect()
}

fn judge_meter(name: &str, event: &str, meters: &[Meter]) -> Option<Check> {
    let of_name: Vec<_> = meters.iter().filter(|meter| meter.event_name == event).collect();
    let Some(meter) = of_name.iter().find(|meter| meter.active) else {
        let (what, advice) = if of_name.is_empty() {
            ("has no meter at Stripe", APPLY)
        } else {
            ("has only a meter that is inactive", DIFF)
        };
        let said = format!("meter {name} {what} with the event name {event:?}: its usage is refused");
        return Some(Check::failed(NAME, said, advice));
    };
    let said = format!("meter {name} adds up by {:?} at Stripe, and should by \"sum\"", meter.formula);
    (meter.formula != "sum").then(|| Check::failed(NAME, said, DIFF))
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::stripe::StatusError;

    fn outcomes(named: Result<Option<PriceObject>, CallError>) -> Vec<(Outcome, String)> {
        let named = vec![("price_1".to_owned(), named)];
        let found = Found { tier: "pro".into(), named, by_key: Ok(Vec::new()) };
        judge(&found, false).into_iter().map(|check| (check.outcome, check.said)).collect()
    }

    #[test]
    fn a_price_must_be_there_active_and_of_the_keys_mode() {
        let price = |active| Ok(Some(PriceObject { active, ..PriceObject::default() }));
        assert_eq!(outcomes(price(true)), []);
        assert_eq!(outcomes(price(false))[0].0, Outcome::Warning);
        assert_eq!(outcomes(Ok(None))[0].0, Outcome::Failed);
        let message =
            "No such price: 'price_1'; a similar object exists in live mode, but a test mode key was used";
        let other = StatusError { status: 404, message: Some(message.into()), ..StatusError::default() };
        let found = outcomes(Err(CallError::Status(Box::new(other))));
        assert!(found[0].1.contains("is of live mode, and stripe.secret_key of test mode"), "{found:?}");
        let none = Found { tier: "pro".into(), named: Vec::new(), by_key: Ok(Vec::new()) };
        assert_eq!(judge(&none, false)[0].outcome, Outcome::Failed);
    }

    #[test]
    fn a_meter_must_be_there_active_and_add_up() {
        let meter = |formula: &str, active| Meter {
            id: "mtr_1".into(),
            event_name: "calls".into(),
            formula: formula.into(),
            active,
            customer_key: "stripe_customer_id".into(),
            value_key: "value".into(),
            event_time_window: None,
        };
        let judged = |event, meter| judge_meter("api_calls", event, &[meter]).map(|check| check.outcome);
        assert_eq!(judged("calls", meter("sum", true)), None);
        assert_eq!(judged("calls", meter("sum", false)), Some(Outcome::Failed));
        assert_eq!(judged("calls", meter("count", true)), Some(Outcome::Failed));
        assert_eq!(judged("other", meter("sum", true)), Some(Outcome::Failed));
    }
}
