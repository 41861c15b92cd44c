//! What has happened at Stripe, as it lists it for 30 days: for events that no webhook has brought.

use serde::Serialize;
use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};

use super::error::CallError;
use super::event::Event;
use super::limiter::Lane;
use super::loose;
use super::transport::Transport;

/// As many types as one list can be asked for.
pub const MOST_KINDS: usize = 20;
/// How long Stripe keeps events, in seconds.
pub const EVENTS_KEPT_SECONDS: i64 = 30 * 86_400;

/// Stripe's most.
const PAGE: i64 = 100;

/// A part of the events, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    pub events: Vec<ListedEvent>,
    /// The event behind which the next page begins; none on the last page.
    pub next: Option<String>,
}

/// What is understood of an event, and all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEvent {
    pub event: Event,
    pub object: Value,
}

/// In the order in which Stripe's SDKs write a query.
#[derive(Serialize)]
struct Asked<'a> {
    created: Created,
    limit: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_after: Option<&'a str>,
    types: &'a [&'a str],
}

#[derive(Serialize)]
struct Created {
    gte: i64,
}

/// Events of some types, at most [`MOST_KINDS`], since an instant in seconds: the page behind an event, or the
/// first. One attempt.
///
/// # Errors
/// See [`CallError`].
pub async fn event_page(
    transport: &Transport,
    kinds: &[&str],
    since: i64,
    after: Option<&str>,
) -> Result<EventPage, CallError> {
    let asked = Asked { created: Created { gte: since }, limit: PAGE, starting_after: after, types: kinds };
    let request = RequestBuilder::new(StripeMethod::Get, "/events").query(&asked);
    let page: Value = transport.once("event_list", Lane::Sync, request, None).await?.json()?;
    let next = loose::next_page(&page, after)?;
    let read = |object: &Value| {
        let event = Event::of(object);
        let event =
            event.inspect_err(|error| tracing::warn!(%error, "an event in Stripe's list was passed over"));
        Some(ListedEvent { event: event.ok()?, object: object.clone() })
    };
    Ok(EventPage { events: loose::elements(&page, "/data").iter().filter_map(read).collect(), next })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    #[tokio::test]
    async fn events_are_asked_for_by_type_and_time_and_read_like_a_webhooks() {
        let object = json!({ "id": "sub_1", "object": "subscription", "customer": "cus_1" });
        let kind = "customer.subscription.updated";
        let event = json!({ "id": "evt_9", "type": kind, "created": 7, "data": { "object": object } });
        let odd = json!({ "id": "evt_8" });
        let list = json!({ "data": [event, odd], "has_more": true });
        let server = TestServer::start([says(200, list)]).await;
        let kinds = [kind, "invoice.paid"];
        let page = event_page(&server.transport(), &kinds, 5, Some("evt_10")).await.expect("a page");
        assert_eq!(page.events.len(), 1);
        let read = Event::read(event.to_string().as_bytes()).expect("an event");
        assert_eq!(page.events[0], ListedEvent { event: read, object: event });
        assert_eq!(page.next.as_deref(), Some("evt_8"));
        let target = "/v1/events?created[gte]=5&limit=100&starting_after=evt_10\
                      &types[0]=customer.subscription.updated&types[1]=invoice.paid";
        assert_eq!(server.received()[0].target, target);
    }
}
