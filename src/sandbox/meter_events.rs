//! Meter events (v1): accepted once per identifier, or refused with Stripe's words.
//!
//! One deliberate difference: Stripe answers 200 for an unknown customer and reports it later in a thin
//! event; the sandbox refuses at once with `resource_missing`, so that tests need not wait. Values are
//! positive integers of at most [`MAX_DIGITS`] digits.

use serde_json::{Value, json};

use super::customers;
use super::error::ApiError;
use super::meters::{self, Formula, Meter};
use super::params::Params;
use super::state::{Call, State};
use super::usage::{Receipt, Rejected};

const MAX_NAME: usize = 100;
const MAX_DIGITS: usize = 15;
const PAST_SECONDS: i64 = 35 * 24 * 60 * 60;
const FUTURE_SECONDS: i64 = 5 * 60;

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    params.only(&["event_name", "payload", "identifier", "timestamp", "expand"])?;
    let event_name =
        bounded(params, "event_name")?.ok_or_else(|| ApiError::parameter_missing("event_name"))?;
    let payload = params.group("payload").ok_or_else(|| ApiError::parameter_missing("payload"))?;
    let identifier = bounded(params, "identifier")?.map(str::to_owned);
    let timestamp = timestamp(params, call.now)?;

    let Some(meter) = meters::active(state, event_name) else {
        let message = format!("No active meter found for event name {event_name}.");
        return Err(ApiError::refused(message).about("event_name"));
    };
    let receipt = receipt(state, meter, payload, timestamp)?;
    let identifier = identifier.unwrap_or_else(|| state.ids.make("evt_id"));
    state
        .usage
        .accept(&identifier, receipt, call.now)
        .map_err(|rejected| rejection(rejected, &identifier))?;
    Ok(json!({
        "object": "billing.meter_event",
        "created": call.now,
        "event_name": event_name,
        "identifier": identifier,
        "livemode": false,
        "payload": payload.map(),
        "timestamp": timestamp,
    }))
}

/// The customer and meter that a request would write to, which admit one call at a time.
pub fn writes_to(state: &State, params: &Params) -> Option<(String, String)> {
    let event_name = params.filled("event_name")?;
    let meter = meters::active(state, event_name)?;
    let customer = params.group("payload")?.owned(&meter.customer_key)?;
    Some((customer, event_name.to_owned()))
}

fn bounded<'a>(params: &'a Params, name: &str) -> Result<Option<&'a str>, ApiError> {
    match params.filled(name) {
        Some(text) if text.chars().count() > MAX_NAME => Err(ApiError::parameter(
            name,
            "parameter_invalid_string_too_long",
            format!("Invalid string: {name} must be at most {MAX_NAME} characters."),
        )),
        other => Ok(other),
    }
}

fn timestamp(params: &Params, now: i64) -> Result<i64, ApiError> {
    let timestamp = params.integer("timestamp")?.unwrap_or(now);
    let bad = |code, message| Err(ApiError::parameter("timestamp", code, message));
    if timestamp < now - PAST_SECONDS {
        return bad("timestamp_too_far_in_past", "The timestamp must be within the past 35 calendar days.");
    }
    if timestamp > now + FUTURE_SECONDS {
        return bad("timestamp_in_future", "The timestamp must not be more than 5 minutes in the future.");
    }
    Ok(timestamp)
}

fn receipt(state: &State, meter: &Meter, payload: &Params, timestamp: i64) -> Result<Receipt, ApiError> {
    let param = |key: &str| format!("payload[{key}]");
    let customer = payload
        .filled(&meter.customer_key)
        .ok_or_else(|| ApiError::parameter_missing(&param(&meter.customer_key)))?;
    customers::referenced(state, customer, &param(&meter.customer_key))?;
    let value = match (meter.formula, payload.filled(&meter.value_key)) {
        (Formula::Count, None) => 1,
        (_, None) => return Err(ApiError::parameter_missing(&param(&meter.value_key))),
        (_, Some(text)) => value(text, &param(&meter.value_key))?,
    };
    Ok(Receipt { meter: meter.id.clone(), customer: customer.to_owned(), timestamp, value })
}

fn value(text: &str, param: &str) -> Result<u64, ApiError> {
    if text.len() > MAX_DIGITS {
        let message = format!("The value must have at most {MAX_DIGITS} digits.");
        return Err(ApiError::parameter(param, "meter_event_value_too_many_digits", message));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value: &u64| digits && *value > 0);
    value.ok_or_else(|| {
        let message = "The value must be a positive integer.";
        ApiError::parameter(param, "meter_event_invalid_value", message)
    })
}

fn rejection(rejected: Rejected, identifier: &str) -> ApiError {
    match rejected {
        Rejected::Duplicate => {
            let message = format!("An event already exists with identifier {identifier}.");
            ApiError::refused(message).never_retry()
        }
        Rejected::TooLarge => ApiError::refused("The sum of this customer's usage is too large."),
    }
}

/// `POST /v1/billing/meter_event_adjustments`: cancels an event within 24 h of its receipt.
pub fn adjust(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    let event_name = params.required("event_name")?;
    if params.required("type")? != "cancel" {
        return Err(ApiError::parameter("type", "parameter_invalid", "Invalid type: must be cancel"));
    }
    let identifier = params.group("cancel").and_then(|cancel| cancel.filled("identifier"));
    let identifier = identifier.ok_or_else(|| ApiError::parameter_missing("cancel[identifier]"))?;
    if meters::active(state, event_name).is_none() {
        let message = format!("No active meter found for event name {event_name}.");
        return Err(ApiError::refused(message).about("event_name"));
    }
    if state.usage.cancel(identifier, call.now).is_none() {
        let message = format!("No event of the last 24 hours has the identifier {identifier}.");
        return Err(ApiError::refused(message).about("cancel[identifier]"));
    }
    Ok(json!({
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": event_name,
        "livemode": false,
        "status": "complete",
        "type": "cancel",
    }))
}
