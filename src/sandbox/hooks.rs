//! What only a test may do: `/_sandbox/...`. The list is in the room's documentation.

// Every hook has the type of an operation, whether it can fail or not.
#![allow(clippy::unnecessary_wraps)]

use serde_json::{Value, json};

use super::error::ApiError;
use super::period::Period;
use super::state::{Call, State};
use super::subscriptions::{self, Status, fail_payment, force_period, force_status};

pub fn health(_: &mut State, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"status": "ok"}))
}

pub fn plan_fault(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    state.faults.plan(call.params)?;
    Ok(state.faults.json())
}

pub fn list_faults(state: &mut State, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.faults.json())
}

/// Answers what is forgotten.
pub fn clear_faults(state: &mut State, _: &Call<'_>) -> Result<Value, ApiError> {
    let forgotten = state.faults.json();
    state.faults.clear();
    Ok(forgotten)
}

/// Sums over all accepted and not cancelled events, ordered by customer and event name.
pub fn meter_totals(state: &mut State, _: &Call<'_>) -> Result<Value, ApiError> {
    let mut rows: Vec<_> = state.usage.totals().collect();
    rows.sort_by_key(|(meter, customer, _)| (*customer, *meter));
    let row = |(meter, customer, total): (&str, &str, super::usage::Bucket)| {
        let event_name = state.meters.get(meter).map(|meter| meter.event_name.as_str());
        json!({
            "customer": customer,
            "event_name": event_name,
            "units": total.units,
            "events": total.events,
            "duplicates": total.duplicates,
        })
    };
    Ok(rows.into_iter().map(row).collect())
}

pub fn set_status(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let name = call.params.required("status")?;
    let status = Status::parse(name).ok_or_else(|| {
        ApiError::parameter("status", "parameter_invalid", format!("Invalid status: {name}"))
    })?;
    force_status(state, call.now, call.id, status)?;
    subscriptions::retrieve(state, call)
}

pub fn set_period(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let bound = |name: &str| {
        let bound = call.params.integer(name)?.filter(|at| *at >= 0);
        bound.ok_or_else(|| ApiError::parameter_missing(name))
    };
    let period = Period { start: bound("start")?, end: bound("end")? };
    if period.start >= period.end {
        let message = "A period's end must come after its start.";
        return Err(ApiError::parameter("end", "parameter_invalid", message));
    }
    force_period(state, call.now, call.id, period)?;
    subscriptions::retrieve(state, call)
}

pub fn payment_failed(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    fail_payment(state, call.now, call.id)?;
    subscriptions::retrieve(state, call)
}

/// Presses "Pay" on a checkout page.
pub fn pay_checkout(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let redirect = super::checkout_pay::pay(state, call.now, call.id)?;
    Ok(json!({"redirect": redirect}))
}
