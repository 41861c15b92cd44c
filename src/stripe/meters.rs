//! Meters, and what Stripe holds on them: the other side of every comparison.
//!
//! A sum is a float in Stripe's JSON. It is read from its digits, so that no unit is lost in a rounding; what is no
//! whole number is an error, since the gateway sends whole units only.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use stripe_billing::billing_meter::ListBillingMeter;
use stripe_billing::billing_meter_event_summary::ListIdBillingMeterEventSummary;
use stripe_client_core::StripeRequest;

use super::error::CallError;
use super::loose;
use super::transport::Transport;

/// Stripe's most.
const PAGE: i64 = 100;
/// More is a mistake of the answer's.
const MOST_PAGES: usize = 50;

/// What counts the events of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    pub id: String,
    pub event_name: String,
    /// `default_aggregation.formula`: `sum`, `count` or `last`.
    pub formula: String,
    /// It takes events.
    pub active: bool,
}

/// All meters, those that are no longer active too: they keep what they counted.
///
/// # Errors
/// See [`CallError`].
pub async fn list_meters(transport: &Transport) -> Result<Vec<Meter>, CallError> {
    let mut meters: Vec<Meter> = Vec::new();
    for _ in 0..MOST_PAGES {
        let mut request = ListBillingMeter::new().limit(PAGE);
        if let Some(last) = meters.last() {
            request = request.starting_after(&last.id);
        }
        let page = transport.calls("meter_list").read(request.build()).await?.json()?;
        let found = page.pointer("/data").and_then(Value::as_array).ok_or_else(|| not_a("list"))?;
        for object in found {
            meters.push(read_meter(object).ok_or_else(|| not_a("meter"))?);
        }
        if found.is_empty() || loose::boolean(&page, "/has_more") != Some(true) {
            return Ok(meters);
        }
    }
    Err(too_many("meters"))
}

fn read_meter(object: &Value) -> Option<Meter> {
    Some(Meter {
        id: loose::text(object, "/id")?,
        event_name: loose::text(object, "/event_name")?,
        formula: loose::text(object, "/default_aggregation/formula")?,
        active: loose::text(object, "/status").is_none_or(|status| status == "active"),
    })
}

/// The units that a meter holds of a Stripe customer within `[start, end)`, both whole minutes.
///
/// # Errors
/// See [`CallError`]; a sum that is no whole number is unreadable.
pub async fn summed_units(
    transport: &Transport,
    meter: &str,
    stripe_customer: &str,
    (start, end): (i64, i64),
) -> Result<i64, CallError> {
    let mut units = 0_i64;
    let mut last: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut request = ListIdBillingMeterEventSummary::new(meter, stripe_customer, end, start).limit(PAGE);
        if let Some(last) = &last {
            request = request.starting_after(last);
        }
        let answer = transport.calls("meter_summary").read(request.build()).await?;
        let page: Page<'_> = serde_json::from_slice(&answer.body).map_err(unreadable)?;
        for summary in &page.data {
            let part = whole_units(summary.aggregated_value.get())?;
            units = units.checked_add(part).ok_or_else(|| not_a("sum of units"))?;
        }
        last = page.data.last().and_then(|summary| summary.id.clone());
        if !page.has_more || last.is_none() {
            return Ok(units);
        }
    }
    Err(too_many("summaries"))
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<Summary<'a>>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Summary<'a> {
    id: Option<String>,
    #[serde(borrow)]
    aggregated_value: &'a RawValue,
}

/// A number's digits as units.
fn whole_units(digits: &str) -> Result<i64, CallError> {
    let read = if digits.contains(['e', 'E']) { Decimal::from_scientific } else { Decimal::from_str_exact };
    let value = read(digits).map_err(unreadable)?;
    let whole = value.is_integer().then(|| value.to_i64()).flatten();
    whole.ok_or_else(|| not_a(&format!("whole number of units: {digits}")))
}

fn unreadable(error: impl std::fmt::Display) -> CallError {
    CallError::Unreadable { reason: error.to_string() }
}

fn not_a(what: &str) -> CallError {
    CallError::Unreadable { reason: format!("not a {what}") }
}

fn too_many(what: &str) -> CallError {
    CallError::Unreadable { reason: format!("more than {MOST_PAGES} pages of {what}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    const SPAN: (i64, i64) = (1_799_999_940, 1_800_000_000);

    #[test]
    fn a_sum_is_read_from_its_digits() {
        for (digits, units) in [
            ("0", 0),
            ("10.0", 10),
            ("1.2e3", 1_200),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9007199254740993.000", 9_007_199_254_740_993),
            ("-4", -4),
        ] {
            assert_eq!(whole_units(digits), Ok(units), "{digits}");
        }
        for digits in ["0.5", "1e-1", "99999999999999999999", "null", "\"7\""] {
            whole_units(digits).expect_err(digits);
        }
    }

    #[tokio::test]
    async fn a_sum_is_asked_for_in_whole_minutes_and_read_to_its_last_page() {
        let page = |value: &str, has_more| {
            let text = r#"{"data":[{"id":"mtrusg_1","aggregated_value":VALUE}],"has_more":MORE}"#;
            says(200, text.replace("VALUE", value).replace("MORE", has_more))
        };
        let server = TestServer::start([page("9007199254740993", "true"), page("2.0", "false")]).await;
        let units = summed_units(&server.transport(), "mtr_1", "cus_1", SPAN).await;
        assert_eq!(units, Ok(9_007_199_254_740_995));
        let first = "/v1/billing/meters/mtr_1/event_summaries?customer=cus_1&end_time=1800000000\
                     &limit=100&start_time=1799999940";
        let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
        assert_eq!(targets, [first.to_owned(), format!("{first}&starting_after=mtrusg_1")]);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_sum_is_an_error_not_zero() {
        for body in ["{}", "<html>", r#"{"data":[{"id":"x"}]}"#, r#"{"data":[{"aggregated_value":0.5}]}"#] {
            let server = TestServer::start([says(200, body)]).await;
            let error = summed_units(&server.transport(), "mtr_1", "cus_1", SPAN).await.expect_err(body);
            assert!(matches!(error, CallError::Unreadable { .. }), "{body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn meters_are_read_to_the_last_page_and_after_an_error_of_a_moment() {
        let meter = |id: &str| json!({ "id": id, "event_name": "api_calls", "default_aggregation": { "formula": "sum" } });
        let server = TestServer::start([
            says(200, json!({ "data": [meter("mtr_1")], "has_more": true })),
            says(503, ""),
            says(200, json!({ "data": [meter("mtr_2")], "has_more": false })),
        ])
        .await;
        let meters = list_meters(&server.transport()).await.expect("both pages");
        let ids: Vec<_> = meters.iter().map(|meter| meter.id.as_str()).collect();
        assert_eq!((ids, meters[0].formula.as_str()), (vec!["mtr_1", "mtr_2"], "sum"));
    }
}
