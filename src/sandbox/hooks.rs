//! What only a test may do: `/_sandbox/...`. The list is in the room's documentation.

// Every hook has the type of an operation, whether it can fail or not.
#![allow(clippy::unnecessary_wraps)]

use serde_json::{Value, json};

use super::checkout_pay::{self, Bank, Payment};
use super::error::ApiError;
use super::period::Period;
use super::state::{Call, State};
use super::subscriptions::{self, Status, fail_payment, force_period, force_status};
use super::{invoices, payment_intents, seed};

/// Under one lock, so that nobody waits for long.
const MAX_SEEDED: u64 = 100_000;

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

/// Tells of a subscription's next invoice, however far away it is.
pub fn tell_of_invoice(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    invoices::announce_upcoming(state, call.now, call.id)?;
    subscriptions::retrieve(state, call)
}

/// Tells of the end of a running trial, however far away it is.
pub fn tell_of_trial(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let trial = state.subscriptions.find(call.id)?.trial;
    let trial = trial.ok_or_else(|| ApiError::refused("This subscription has no trial."))?;
    subscriptions::tell_of_trial(state, call.now, call.id, trial.end)?;
    subscriptions::retrieve(state, call)
}

/// From now on a customer's bank declines, or no longer does.
pub fn set_declines(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let declines = call.params.boolean("declines")?.unwrap_or(true);
    state.customers.find_mut(call.id)?.declines = declines;
    Ok(json!({"declines": declines}))
}

/// Saves the portal's settings, or forgets them.
pub fn configure_portal(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    state.portal_configured = call.params.boolean("configured")?.unwrap_or(true);
    Ok(json!({"configured": state.portal_configured}))
}

/// Presses "Pay" on a checkout page.
pub fn pay_checkout(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let says = |name: &str| Ok::<_, ApiError>(call.params.boolean(name)? == Some(true));
    let bank = match (says("declined")?, says("delayed")?) {
        (true, _) => Bank::Declines,
        (_, true) => Bank::Waits,
        _ => Bank::Pays,
    };
    let payment = Payment { bank, session_first: says("session_first")? };
    let redirect = checkout_pay::pay(state, call.now, call.id, payment)?;
    Ok(json!({"redirect": redirect}))
}

/// The bank's word on a payment that was delayed.
pub fn settle(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let succeeds = call.params.boolean("succeeds")?.unwrap_or(true);
    checkout_pay::settle(state, call.now, call.id, succeeds)?;
    payment_intents::retrieve(state, call)
}

/// How often each operation of the API was called; those that the rate limit refused are not counted.
pub fn list_calls(state: &mut State, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!(state.calls))
}

/// Answers what is forgotten.
pub fn clear_calls(state: &mut State, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!(std::mem::take(&mut state.calls)))
}

/// Makes customers who are subscribed, without an event.
pub fn seed(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let customers =
        call.params.count("customers")?.ok_or_else(|| ApiError::parameter_missing("customers"))?;
    if customers > MAX_SEEDED {
        let message = format!("At most {MAX_SEEDED} customers at once.");
        return Err(ApiError::parameter("customers", "parameter_invalid", message));
    }
    let (tier, prefix) = (call.params.required("tier")?, call.params.filled("prefix").unwrap_or("seeded"));
    let seeded = seed::subscribed_customers(state, call.now, tier, prefix, customers)?;
    let row = |row: &seed::Subscribed| json!({"customer": row.customer, "subscription": row.subscription});
    Ok(seeded.iter().map(row).collect())
}
