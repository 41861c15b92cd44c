//! The billing portal: a page at Stripe for cards, invoices and cancelling.

use stripe_client_core::IdempotencyKey;

use super::form::Form;
use super::{change, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::text;
use crate::stripe::transport::Transport;

/// A page for one visit; answers its address.
///
/// # Errors
/// See [`CallError`].
pub async fn create_portal(
    transport: &Transport,
    customer: &str,
    return_url: &str,
    key: &IdempotencyKey,
) -> Result<String, CallError> {
    let form = Form::default().with("customer", customer).with("return_url", return_url);
    let session = change(transport, "portal_create", form.post("/billing_portal/sessions"), key).await?;
    text(&session, "/url").ok_or_else(|| not_a("portal session"))
}
