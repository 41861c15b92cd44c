//! Reads what a price is made of from a request.

use rust_decimal::Decimal;

use super::error::ApiError;
use super::params::Params;
use super::period::{Cadence, Interval};
use super::prices::Recurring;
use super::pricing::{Scheme, Tier};
use super::state::State;

/// Stripe allows at most three years.
const MAX_COUNT: u64 = 1_095;

pub fn recurring(state: &State, params: &Params) -> Result<Option<Recurring>, ApiError> {
    let Some(group) = params.group("recurring") else {
        return Ok(None);
    };
    let name = group.required("interval")?;
    let interval = Interval::parse(name).ok_or_else(|| {
        let message =
            format!("Invalid recurring[interval]: must be one of day, week, month, or year; got {name}");
        ApiError::parameter("recurring[interval]", "parameter_invalid", message)
    })?;
    let count = group.count("interval_count")?.unwrap_or(1);
    let count = u32::try_from(count).ok().filter(|count| (1..=MAX_COUNT).contains(&u64::from(*count)));
    let count = count.ok_or_else(|| {
        let message = "The interval must be between 1 unit and 3 years.";
        ApiError::parameter("recurring[interval_count]", "parameter_invalid", message)
    })?;
    Ok(Some(Recurring { cadence: Cadence { interval, count }, meter: meter(state, group)? }))
}

fn meter(state: &State, group: &Params) -> Result<Option<String>, ApiError> {
    match (group.filled("usage_type").unwrap_or("licensed"), group.filled("meter")) {
        ("licensed", None) => Ok(None),
        ("metered", Some(meter)) => {
            let meter = state.meters.referenced(meter, "recurring[meter]")?;
            Ok(Some(meter.id.clone()))
        }
        ("metered", None) => Err(ApiError::parameter(
            "recurring[meter]",
            "parameter_missing",
            "Metered prices need a meter: usage records were removed in 2025-03-31.basil.",
        )),
        _ => Err(ApiError::parameter(
            "recurring[usage_type]",
            "parameter_invalid",
            "usage_type must be licensed, or metered together with a meter.",
        )),
    }
}

pub fn scheme(params: &Params) -> Result<Scheme, ApiError> {
    match params.filled("billing_scheme").unwrap_or("per_unit") {
        "per_unit" => {
            let unit = amount(params, "unit_amount", "unit_amount_decimal")?;
            let unit = unit.ok_or_else(|| ApiError::parameter_missing("unit_amount"))?;
            Ok(Scheme::PerUnit(unit))
        }
        "tiered" if params.filled("tiers_mode") == Some("graduated") => Ok(Scheme::Graduated(tiers(params)?)),
        "tiered" => Err(ApiError::parameter(
            "tiers_mode",
            "parameter_invalid",
            "The sandbox knows tiers_mode=graduated only.",
        )),
        other => Err(ApiError::parameter(
            "billing_scheme",
            "parameter_invalid",
            format!("Invalid billing_scheme: {other}"),
        )),
    }
}

fn tiers(params: &Params) -> Result<Vec<Tier>, ApiError> {
    let bad = |message: &str| ApiError::parameter("tiers", "parameter_invalid", message);
    let mut tiers: Vec<Tier> = Vec::new();
    for group in params.groups("tiers") {
        let tier = tier(group)?;
        match tiers.last().map(|last| last.up_to) {
            Some(None) => return Err(bad("Only the last tier may have up_to=inf.")),
            Some(below) if tier.up_to.is_some() && tier.up_to <= below => {
                return Err(bad("Tiers must be in ascending order of up_to."));
            }
            _ => tiers.push(tier),
        }
    }
    match tiers.last() {
        None => Err(ApiError::parameter_missing("tiers")),
        Some(last) if last.up_to.is_some() => Err(bad("The last tier must have up_to=inf.")),
        Some(_) => Ok(tiers),
    }
}

fn tier(group: &Params) -> Result<Tier, ApiError> {
    let unit = amount(group, "unit_amount", "unit_amount_decimal")?;
    let flat = amount(group, "flat_amount", "flat_amount_decimal")?;
    if unit.is_none() && flat.is_none() {
        let message = "A tier needs a unit_amount or a flat_amount.";
        return Err(ApiError::parameter("tiers", "parameter_missing", message));
    }
    let up_to = match group.required("up_to")? {
        "inf" => None,
        _ => group.count("up_to")?,
    };
    Ok(Tier { up_to, unit: unit.unwrap_or(Decimal::ZERO), flat: flat.unwrap_or(Decimal::ZERO) })
}

fn amount(params: &Params, whole: &str, decimal: &str) -> Result<Option<Decimal>, ApiError> {
    match (params.count(whole)?, params.decimal(decimal)?) {
        (Some(_), Some(_)) => Err(ApiError::parameter(
            decimal,
            "parameter_invalid",
            format!("You may only specify one of these parameters: {whole}, {decimal}."),
        )),
        (Some(cents), None) => Ok(Some(Decimal::from(cents))),
        (None, decimal) => Ok(decimal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Scheme, ApiError> {
        scheme(&Params::decode(form).expect("well-formed"))
    }

    #[test]
    fn tiers_must_ascend_and_end_in_infinity() {
        let base = "billing_scheme=tiered&tiers_mode=graduated";
        let good = "&tiers[0][up_to]=10&tiers[0][unit_amount]=0&tiers[1][up_to]=inf&tiers[1][unit_amount_decimal]=0.5";
        assert!(read(&format!("{base}{good}")).is_ok());
        for bad in [
            "",
            "&tiers[0][up_to]=10&tiers[0][unit_amount]=0",
            "&tiers[0][up_to]=inf&tiers[0][unit_amount]=0&tiers[1][up_to]=inf&tiers[1][unit_amount]=0",
            "&tiers[0][up_to]=9&tiers[0][unit_amount]=0&tiers[1][up_to]=9&tiers[1][unit_amount]=0&tiers[2][up_to]=inf&tiers[2][unit_amount]=0",
            "&tiers[0][up_to]=inf",
        ] {
            assert!(read(&format!("{base}{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_amount_is_given_once() {
        assert!(read("unit_amount=5&unit_amount_decimal=5").is_err());
        assert!(read("").is_err());
        assert_eq!(
            read("unit_amount_decimal=5").expect("well-formed"),
            read("unit_amount=5").expect("well-formed")
        );
    }
}
