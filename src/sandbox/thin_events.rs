//! Thin events: errors that Stripe finds in meter events after it has accepted them.
//!
//! The webhook's body names the event and the meter, and nothing else; what happened is read from
//! `GET /v2/core/events/:id`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::error::ApiError;
use super::events::address;
use super::state::{Call, State};
use super::table::Row;

const KEPT: usize = 10_000;

#[derive(Debug)]
pub struct ThinEvent {
    id: String,
    /// With its data, which only the API shows.
    json: Value,
}

impl Row for ThinEvent {
    const NOUN: &'static str = "event";

    fn id(&self) -> &str {
        &self.id
    }
}

/// Takes an accepted event's units back, and tells every endpoint that there are errors.
pub fn reject(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let code = call.params.filled("code").unwrap_or("meter_event_customer_not_found").to_owned();
    let Some(cancelled) = state.usage.cancel(call.id, call.now) else {
        let message = format!("No event of the last 24 hours has the identifier {}.", call.id);
        return Err(ApiError::refused(message));
    };
    let no_meter = code == "no_meter";
    let kind =
        if no_meter { "v1.billing.meter.no_meter_found" } else { "v1.billing.meter.error_report_triggered" };
    let meter = json!({
        "id": cancelled.meter,
        "type": "billing.meter",
        "url": format!("/v1/billing/meters/{}", cancelled.meter),
    });
    let id = state.ids.make("evt");
    let thin = json!({
        "id": id,
        "object": "v2.core.event",
        "type": kind,
        "created": super::delivery::rfc3339(call.now),
        "livemode": false,
        "related_object": if no_meter { Value::Null } else { meter },
    });
    let deliveries = address(state, &id, kind, &Bytes::from(thin.to_string()));
    state.outgoing.extend(deliveries);
    let mut json = thin;
    json["data"] = data(&code, call.id, call.now);
    state.thin_events.insert(ThinEvent { id, json: json.clone() });
    state.thin_events.keep_newest(KEPT);
    Ok(json)
}

fn data(code: &str, identifier: &str, now: i64) -> Value {
    json!({
        "developer_message_summary": "There is 1 invalid event",
        "reason": {
            "error_count": 1,
            "error_types": [{
                "code": code,
                "error_count": 1,
                "sample_errors": [{
                    "error_message": format!("Rejected by the sandbox: {code}"),
                    "request": {"identifier": identifier},
                }],
            }],
        },
        "validation_start": super::delivery::rfc3339(now - 10),
        "validation_end": super::delivery::rfc3339(now),
    })
}

/// `GET /v2/core/events/:id`.
pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.thin_events.find(call.id)?.json.clone())
}
