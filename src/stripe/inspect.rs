//! What somebody who looks after an account asks: what a key may read, and where Stripe sends its events.

use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};

use super::error::CallError;
use super::loose;
use super::transport::Transport;

/// Stripe's most, and more than an account may have (16).
const PAGE: &str = "limit=100";

/// A webhook endpoint, as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    pub url: String,
    pub is_enabled: bool,
    /// Types of events, or `*` for all.
    pub events: Vec<String>,
    /// The version whose shapes its events have; `None`: the account's.
    pub api_version: Option<String>,
    pub livemode: Option<bool>,
}

/// Whether a list can be read; `path` is one below `/v1`.
///
/// # Errors
/// See [`CallError`]; 403 where the key lacks the permission.
pub async fn may_read(transport: &Transport, path: &str) -> Result<(), CallError> {
    let request =
        RequestBuilder { query: Some("limit=1".to_owned()), ..RequestBuilder::new(StripeMethod::Get, path) };
    transport.calls("inspect").read(request).await.map(drop)
}

/// All webhook endpoints of the key's mode.
///
/// # Errors
/// See [`CallError`].
pub async fn list_webhook_endpoints(transport: &Transport) -> Result<Vec<WebhookEndpoint>, CallError> {
    let request = RequestBuilder {
        query: Some(PAGE.to_owned()),
        ..RequestBuilder::new(StripeMethod::Get, "/webhook_endpoints")
    };
    let page = transport.calls("inspect").read(request).await?.json()?;
    let found = page.pointer("/data").and_then(Value::as_array);
    let found = found.ok_or_else(|| CallError::Unreadable { reason: "not a list".to_owned() })?;
    Ok(found.iter().filter_map(read).collect())
}

fn read(object: &Value) -> Option<WebhookEndpoint> {
    let events = loose::elements(object, "/enabled_events").iter();
    Some(WebhookEndpoint {
        url: loose::text(object, "/url")?,
        is_enabled: loose::text(object, "/status").is_none_or(|status| status == "enabled"),
        events: events.filter_map(|kind| kind.as_str().map(str::to_owned)).collect(),
        api_version: loose::text(object, "/api_version"),
        livemode: loose::boolean(object, "/livemode"),
    })
}
