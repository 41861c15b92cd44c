//! Meter events: usage on its way to an invoice.
//!
//! One call is one attempt. What the caller must keep over its tries is the event (identifier, value and
//! timestamp stay), and the `Idempotency-Key` until Stripe has stored an answer under it
//! ([`MeterEventAnswer::Retry`]`::answered`), since that answer would only be replayed.
//! The identifier is what makes usage count once: Stripe's complaint about a known one means delivered.
//! Whatever does not come from Stripe itself (a proxy's page, say) never accepts nor refuses an event.

use std::collections::HashMap;

use stripe_billing::billing_meter_event::CreateBillingMeterEvent;
use stripe_client_core::{IdempotencyKey, RequestBuilder, StripeRequest};

use super::answer::Answer;
use super::error::{CallError, StatusError};
use super::limiter::Lane;
use super::loose;
use super::transport::Transport;

const OPERATION: &str = "meter_event";

/// Sealed usage of one customer and meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterEvent {
    /// The meter's event name at Stripe.
    pub event_name: String,
    /// `cus_…`
    pub stripe_customer: String,
    /// Units; Stripe's meters take positive integers.
    pub value: u64,
    /// Unique over all our events, and the same on every try.
    pub identifier: String,
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterEventAnswer {
    Accepted {
        /// Status and `Request-Id`, for the receipt.
        answer: String,
    },
    /// Stripe knows the identifier: an earlier try arrived.
    Duplicate,
    /// Stripe will say the same tomorrow: no such meter or customer, too old.
    Refused { reason: String },
    /// Try again later.
    Retry {
        reason: String,
        /// Stripe has stored an answer under this `Idempotency-Key`: the next try needs a new key.
        answered: bool,
        /// Stripe may have taken the event: no answer came, or one that does not say.
        arrived: bool,
    },
}

/// Sends one meter event, once.
pub async fn send_meter_event(
    transport: &Transport,
    event: &MeterEvent,
    idempotency_key: &str,
) -> MeterEventAnswer {
    let key = match IdempotencyKey::new(idempotency_key) {
        Ok(key) => key,
        Err(error) => {
            return MeterEventAnswer::Refused { reason: error.to_string() };
        }
    };
    match transport.once(OPERATION, Lane::MeterEvents, request(event), Some(&key)).await {
        Ok(answer) => accepted(event, &answer),
        Err(CallError::Status(error)) => answer_to_status(&error),
        Err(CallError::Unsendable { reason }) => MeterEventAnswer::Refused { reason },
        Err(error) => MeterEventAnswer::Retry {
            reason: error.to_string(),
            answered: matches!(error, CallError::Unreadable { .. }),
            arrived: !error.is_unsent(),
        },
    }
}

/// The same event is the same bytes on every try: the payload is a hash map, so its order is fixed here.
fn request(event: &MeterEvent) -> RequestBuilder {
    let payload = HashMap::from([
        ("stripe_customer_id".to_owned(), event.stripe_customer.clone()),
        ("value".to_owned(), event.value.to_string()),
    ]);
    let mut request = CreateBillingMeterEvent::new(&event.event_name, payload)
        .identifier(&event.identifier)
        .timestamp(event.timestamp)
        .build();
    request.body = request.body.map(|form| {
        let mut pairs: Vec<_> = form.split('&').collect();
        pairs.sort_unstable();
        pairs.join("&")
    });
    request
}

/// A success counts only if it is Stripe's, and about no other event: a captive portal, too, answers 200.
fn accepted(event: &MeterEvent, answer: &Answer) -> MeterEventAnswer {
    let body = answer.json().ok().filter(serde_json::Value::is_object);
    let ours = |body| loose::text(body, "/identifier").is_none_or(|echoed| echoed == event.identifier);
    if body.as_ref().is_some_and(ours) {
        let request = answer.request_id.as_deref().map(|id| format!(", {id}")).unwrap_or_default();
        MeterEventAnswer::Accepted { answer: format!("{} accepted{request}", answer.status) }
    } else {
        MeterEventAnswer::Retry {
            reason: format!("the answer {} does not name the event", answer.status),
            answered: true,
            arrived: true,
        }
    }
}

fn answer_to_status(error: &StatusError) -> MeterEventAnswer {
    let in_use = error.code.as_deref() == Some("idempotency_key_in_use");
    let retry = |reason: String, answered| MeterEventAnswer::Retry { reason, answered, arrived: true };
    // Turned away at the door.
    let away = |reason: String| MeterEventAnswer::Retry { reason, answered: false, arrived: false };
    match error.status {
        // Neither these nor a twin still in flight are stored under the key.
        401 | 403 => away(format!("{error}; check [stripe] secret_key")),
        429 => away(error.to_string()),
        409 if in_use => retry(error.to_string(), false),
        _ if is_early(error) => retry(format!("{error}; check this machine's clock"), true),
        _ if is_duplicate(error) => MeterEventAnswer::Duplicate,
        400..500 if is_final(error) => MeterEventAnswer::Refused { reason: error.to_string() },
        _ => retry(error.to_string(), true),
    }
}

/// Stripe has no code for it, only this sentence.
fn is_duplicate(error: &StatusError) -> bool {
    let says_so = |message: &str| message.contains("already exists with identifier");
    error.status == 400 && error.message.as_deref().is_some_and(says_so)
}

/// Our clock is ahead of Stripe's: waiting cures it.
fn is_early(error: &StatusError) -> bool {
    let says_so = |message: &str| message.contains("in the future");
    error.status == 400
        && (error.code.as_deref() == Some("timestamp_in_future")
            || error.message.as_deref().is_some_and(says_so))
}

/// A 4xx that waiting cannot cure.
fn is_final(error: &StatusError) -> bool {
    let other_request_under_the_key = error.kind.as_deref() == Some("idempotency_error");
    error.is_from_stripe()
        && !error.is_transient()
        && error.should_retry != Some(true)
        && !other_request_under_the_key
}

#[cfg(test)]
#[path = "meter_events_tests.rs"]
mod tests;
