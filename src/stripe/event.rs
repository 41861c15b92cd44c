//! What a webhook's body tells, read so that no change of Stripe's shapes loses an event.
//!
//! A body is shaped by the API version of the endpoint that it was sent to, which may be older or newer than ours,
//! and thin events (`v2.core.event`) carry no object at all. So only id and type are required; a field that is
//! missing or of another type is none. An event is news that something changed: the truth is re-read.

use serde_json::Value;

use super::loose::{boolean, elements, id, integer, text};

/// The parts of an event that Tollgate uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    pub id: String,
    /// `type`, such as `customer.subscription.updated`.
    pub kind: String,
    /// Seconds since the Unix epoch.
    pub created: Option<i64>,
    pub livemode: Option<bool>,
    pub api_version: Option<String>,
    /// What the object is: `subscription`, `invoice`, `checkout.session`, …
    pub object: Option<String>,
    pub object_id: Option<String>,
    /// `cus_…`
    pub customer: Option<String>,
    /// `sub_…`
    pub subscription: Option<String>,
    /// A checkout session's `client_reference_id`.
    pub client_reference_id: Option<String>,
    /// `metadata.tollgate_customer` of the object, or of the subscription or customer inside it.
    pub tollgate_customer: Option<String>,
    /// A checkout session's `mode`: `subscription`, `payment` or `setup`.
    pub checkout_mode: Option<String>,
    /// A checkout session's `payment_status`.
    pub payment_status: Option<String>,
    /// The object's `status`.
    pub status: Option<String>,
}

/// Why a body is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("the body is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("the event has no id")]
    NoId,
    #[error("the event has no type")]
    NoType,
}

impl Event {
    /// Reads a body whose signature was verified.
    ///
    /// # Errors
    /// No JSON, no id, or no type.
    pub fn read(body: &[u8]) -> Result<Self, EventError> {
        Self::of(&serde_json::from_slice(body).map_err(EventError::NotJson)?)
    }

    /// Reads an event as Stripe lists it.
    ///
    /// # Errors
    /// No id, or no type.
    pub(super) fn of(event: &Value) -> Result<Self, EventError> {
        let known = Self {
            id: text(event, "/id").ok_or(EventError::NoId)?,
            kind: text(event, "/type").ok_or(EventError::NoType)?,
            created: created(event),
            livemode: boolean(event, "/livemode"),
            api_version: text(event, "/api_version"),
            ..Self::default()
        };
        Ok(match event.pointer("/data/object") {
            Some(object) => known.about(object),
            None => known.about_related(event),
        })
    }

    /// A full event, with the object as it was then.
    fn about(self, object: &Value) -> Self {
        let own_id = text(object, "/id");
        let kind_of_object = text(object, "/object");
        let if_a = |kind: &str| own_id.clone().filter(|_| kind_of_object.as_deref() == Some(kind));
        Self {
            customer: if_a("customer").or_else(|| id(object, "/customer")),
            subscription: if_a("subscription").or_else(|| subscription_of(object)),
            client_reference_id: text(object, "/client_reference_id"),
            tollgate_customer: tollgate_customer_of(object),
            checkout_mode: text(object, "/mode"),
            payment_status: text(object, "/payment_status"),
            status: text(object, "/status"),
            object_id: own_id,
            object: kind_of_object,
            ..self
        }
    }

    /// A thin event, which only names its object.
    fn about_related(self, event: &Value) -> Self {
        Self {
            object: text(event, "/related_object/type"),
            object_id: text(event, "/related_object/id"),
            ..self
        }
    }
}

/// Seconds, or RFC 3339 in thin events.
fn created(event: &Value) -> Option<i64> {
    integer(event, "/created").or_else(|| {
        let instant: jiff::Timestamp = text(event, "/created")?.parse().ok()?;
        Some(instant.as_second())
    })
}

/// A session's or an invoice's subscription: `subscription` before 2025-03-31 and on sessions, below `parent`
/// since, else what the invoice's lines say.
fn subscription_of(object: &Value) -> Option<String> {
    let of_line = |line: &Value| {
        id(line, "/subscription")
            .or_else(|| id(line, "/parent/subscription_item_details/subscription"))
            .or_else(|| id(line, "/parent/invoice_item_details/subscription"))
    };
    id(object, "/subscription")
        .or_else(|| id(object, "/parent/subscription_details/subscription"))
        .or_else(|| elements(object, "/lines/data").iter().find_map(of_line))
}

fn tollgate_customer_of(object: &Value) -> Option<String> {
    [
        "/metadata/tollgate_customer",
        "/parent/subscription_details/metadata/tollgate_customer",
        "/subscription_details/metadata/tollgate_customer",
        "/subscription/metadata/tollgate_customer",
        "/customer/metadata/tollgate_customer",
    ]
    .into_iter()
    .find_map(|pointer| text(object, pointer))
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
