//! Webhook endpoints and the signature on what is sent to them.
//!
//! `Stripe-Signature: t=<unix>,v1=<hex>`, where v1 is the HMAC-SHA256 of `t + "." + raw body` under the
//! endpoint's secret (docs.stripe.com/webhooks).

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::error::ApiError;
use super::events;
use super::state::{Call, Metadata, State, new_metadata};
use super::table::{Page, Row, list};

#[derive(Clone)]
pub struct Endpoint {
    pub id: String,
    pub url: String,
    pub secret: String,
    pub enabled_events: Vec<String>,
    /// It gets nothing.
    pub disabled: bool,
    pub metadata: Metadata,
    pub created: i64,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Endpoint");
        shown.field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Row for Endpoint {
    const NOUN: &'static str = "webhook endpoint";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Endpoint {
    pub fn wants(&self, kind: &str) -> bool {
        !self.disabled && self.enabled_events.iter().any(|pattern| events::matches(pattern, kind))
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": null,
            "application": null,
            "created": self.created,
            "description": null,
            "enabled_events": self.enabled_events,
            "livemode": false,
            "metadata": self.metadata,
            "status": if self.disabled { "disabled" } else { "enabled" },
            "url": self.url,
        })
    }
}

/// The secret is shown once, in this answer.
pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let url = call.params.required("url")?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(ApiError::parameter(
            "url",
            "url_invalid",
            "Invalid URL: an explicit scheme (such as https) must be provided.",
        ));
    }
    let enabled = call.params.texts("enabled_events");
    if enabled.is_empty() {
        return Err(ApiError::parameter_missing("enabled_events"));
    }
    let endpoint = Endpoint {
        id: state.ids.make("we"),
        url: url.to_owned(),
        secret: state.ids.make("whsec"),
        enabled_events: enabled.into_iter().map(str::to_owned).collect(),
        disabled: false,
        metadata: new_metadata(call.params),
        created: call.now,
    };
    let mut json = endpoint.json();
    json["secret"] = json!(endpoint.secret);
    state.endpoints.insert(endpoint);
    Ok(json)
}

/// What is not named stays as it is.
pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let enabled = call.params.texts("enabled_events");
    let disabled = call.params.boolean("disabled")?;
    let url = call.params.filled("url");
    let endpoint = state.endpoints.find_mut(call.id)?;
    if !enabled.is_empty() {
        endpoint.enabled_events = enabled.into_iter().map(str::to_owned).collect();
    }
    if let Some(url) = url {
        url.clone_into(&mut endpoint.url);
    }
    endpoint.disabled = disabled.unwrap_or(endpoint.disabled);
    Ok(endpoint.json())
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.endpoints.find(call.id)?.json())
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    state.endpoints.find(call.id)?;
    state.endpoints.remove(call.id);
    Ok(json!({"id": call.id, "object": "webhook_endpoint", "deleted": true}))
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let (rows, more) = state.endpoints.page(&Page::read(call.params)?, None, |_| true)?;
    let data = rows.into_iter().map(Endpoint::json).collect();
    Ok(list("/v1/webhook_endpoints", data, more))
}

/// The value of the `Stripe-Signature` header for a body sent at `now`.
pub fn signature(secret: &str, now: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(now.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut header = format!("t={now},v1=");
    for byte in mac.finalize().into_bytes() {
        write!(header, "{byte:02x}").expect("writing to a string succeeds");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac: `HMAC-SHA256("whsec_test", "1700000000.{}")`.
    #[test]
    fn a_signature_is_what_another_implementation_computes() {
        assert_eq!(
            signature("whsec_test", 1_700_000_000, b"{}"),
            "t=1700000000,v1=35495024f4ef3f94e5a93e22221544c4b75e9a42300cd965ab81cb85cd994e91"
        );
    }

    #[test]
    fn an_endpoints_secret_does_not_show_in_its_debug_form() {
        let endpoint = Endpoint {
            id: "we_1".into(),
            url: "http://x".into(),
            secret: "whsec_hidden".into(),
            enabled_events: vec!["*".into()],
            disabled: false,
            metadata: Metadata::new(),
            created: 0,
        };
        assert!(!format!("{endpoint:?}").contains("hidden"));
    }
}
