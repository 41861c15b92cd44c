//! Events: a snapshot of an object at the moment something happened to it, and its way out.
//!
//! An event is rendered once, in the shape the sandbox was started with, and never changes afterwards;
//! resending it sends the same id and the same bytes. At most [`KEPT`] are kept, and shown for [`SHOWN_DAYS`].

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::EventShape;
use super::error::ApiError;
use super::shape;
use super::span::Span;
use super::state::{Call, State};
use super::table::{Page, Row, list};

const KEPT: usize = 100_000;
/// How long an event can be read, in days.
const SHOWN_DAYS: i64 = 30;
/// As many types as a list may name.
const MAX_TYPES: usize = 20;

#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub created: i64,
    pub json: Value,
}

impl Row for Event {
    const NOUN: &'static str = "event";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Event {
    fn shown(&self, now: i64) -> bool {
        now - self.created <= SHOWN_DAYS * 86_400
    }
}

/// An event on its way to one endpoint.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub event: String,
    pub url: String,
    pub secret: String,
    pub body: Bytes,
}

/// Records that something happened and addresses it to every endpoint that wants to know.
pub fn emit(state: &mut State, now: i64, kind: &str, object: Value) {
    record(state, now, kind, object, None);
}

/// As [`emit`], with the values that the change replaced.
pub fn emit_change(state: &mut State, now: i64, kind: &str, object: Value, previous: Value) {
    record(state, now, kind, object, Some(previous));
}

fn record(state: &mut State, now: i64, kind: &str, object: Value, previous: Option<Value>) {
    if state.options.quiet {
        return;
    }
    let mut data = Map::new();
    let object = match state.options.event_shape {
        EventShape::Basil => object,
        EventShape::PreBasil => shape::before_basil(object),
    };
    data.insert("object".to_owned(), object);
    data.extend(previous.map(|previous| ("previous_attributes".to_owned(), previous)));
    let id = state.ids.make("evt");
    let json = json!({
        "id": id,
        "object": "event",
        "api_version": state.options.event_shape.api_version(),
        "created": now,
        "data": data,
        "livemode": false,
        "pending_webhooks": state.endpoints.iter().filter(|e| e.wants(kind)).count(),
        "request": {"id": null, "idempotency_key": null},
        "type": kind,
    });
    let event = Event { id, kind: kind.to_owned(), created: now, json };
    let deliveries = address(state, &event.id, kind, &Bytes::from(event.json.to_string()));
    state.outgoing.extend(deliveries);
    state.events.insert(event);
    state.events.keep_newest(KEPT);
}

/// One delivery for every endpoint that wants events of a kind.
pub fn address(state: &State, event: &str, kind: &str, body: &Bytes) -> Vec<Delivery> {
    let delivery = |endpoint: &super::webhooks::Endpoint| Delivery {
        event: event.to_owned(),
        url: endpoint.url.clone(),
        secret: endpoint.secret.clone(),
        body: body.clone(),
    };
    state.endpoints.iter().filter(|endpoint| endpoint.wants(kind)).map(delivery).collect()
}

/// Sends an event once more to every endpoint that wants it; with `livemode` a copy as if from live mode, under an
/// id of its own.
pub fn resend(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let event = state.events.find(call.id)?;
    let (kind, mut json) = (event.kind.clone(), event.json.clone());
    if call.params.boolean("livemode")? == Some(true) {
        json["id"] = Value::String(state.ids.make("evt"));
        json["livemode"] = Value::Bool(true);
    }
    let id = json["id"].as_str().unwrap_or_default();
    let deliveries = address(state, id, &kind, &Bytes::from(json.to_string()));
    state.outgoing.extend(deliveries);
    Ok(json)
}

/// The top-level values of `before` that `after` replaced; `None` if nothing changed.
pub fn changed(before: &Value, after: &Value) -> Option<Value> {
    let fields = before.as_object()?;
    let replaced = fields.iter().filter(|(name, value)| after.get(name.as_str()) != Some(value));
    let previous: Map<String, Value> = replaced.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!previous.is_empty()).then_some(Value::Object(previous))
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let event = state.events.find(call.id)?;
    if !event.shown(call.now) {
        return Err(ApiError::not_found(Event::NOUN, call.id));
    }
    Ok(event.json.clone())
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    let mut kinds = params.texts("types");
    kinds.extend(params.filled("type"));
    if kinds.len() > MAX_TYPES {
        let message = "You may only specify up to 20 types.";
        return Err(ApiError::parameter("types", "parameter_invalid", message));
    }
    let created = Span::read(params, "created")?;
    let keep = |event: &Event| {
        event.shown(call.now)
            && created.contains(event.created)
            && (kinds.is_empty() || kinds.iter().any(|kind| matches(kind, &event.kind)))
    };
    let (rows, more) = state.events.page(&Page::read(params)?, None, keep)?;
    let data = rows.into_iter().map(|event| event.json.clone()).collect();
    Ok(list("/v1/events", data, more))
}

/// `customer.subscription.*` matches every event of subscriptions; `*` matches all.
pub fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_exactly_or_by_prefix() {
        assert!(matches("*", "invoice.paid"));
        assert!(matches("customer.subscription.*", "customer.subscription.deleted"));
        assert!(!matches("customer.subscription.*", "customer.deleted"));
        assert!(!matches("invoice", "invoice.paid"));
    }

    #[test]
    fn a_change_lists_the_values_it_replaced() {
        let before = json!({"a": 1, "b": {"c": 2}, "d": null});
        let after = json!({"a": 1, "b": {"c": 3}, "d": null});
        assert_eq!(changed(&before, &after), Some(json!({"b": {"c": 2}})));
        assert_eq!(changed(&before, &before), None);
    }
}
