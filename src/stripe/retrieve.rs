//! Reading one object again.

use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};

use super::error::CallError;
use super::limiter::Lane;
use super::transport::Transport;

/// One attempt; none when Stripe does not have it.
pub(super) async fn retrieve(
    transport: &Transport,
    operation: &'static str,
    path: &str,
) -> Result<Option<Value>, CallError> {
    let request = RequestBuilder::new(StripeMethod::Get, path);
    match transport.once(operation, Lane::General, request, None).await {
        Err(error) if error.is_missing() => Ok(None),
        answer => answer?.json().map(Some),
    }
}

pub(super) fn not_a(what: &str) -> CallError {
    CallError::Unreadable { reason: format!("not a {what}") }
}
