//! Checkout sessions: pages at Stripe on which a customer pays.

use serde::Serialize;
use serde_json::Value;
use stripe_client_core::IdempotencyKey;

use super::form::Form;
use super::{change, find, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::{integer, text};
use crate::stripe::transport::Transport;

/// What Stripe takes as `client_reference_id`, in characters.
const LONGEST_REFERENCE: usize = 200;

/// What is asked for.
#[derive(Clone, Debug, Serialize)]
pub struct NewCheckout<'a> {
    /// `cus_…`.
    pub customer: &'a str,
    /// Our name of the customer.
    pub reference: &'a str,
    pub sale: Sale<'a>,
    pub success_url: &'a str,
    pub cancel_url: Option<&'a str>,
    pub allow_promotion_codes: bool,
    /// On the session, and on the subscription or payment that comes of it.
    pub metadata: &'a [(&'a str, String)],
}

/// What is sold.
#[derive(Clone, Debug, Serialize)]
pub enum Sale<'a> {
    Subscription {
        flat: &'a str,
        metered: &'a [&'a str],
        trial_days: Option<u32>,
        /// The prices recur at different intervals.
        mixed: bool,
    },
    /// Once, for an amount in minor units.
    Goods { name: &'a str, currency: &'a str, amount: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutStatus {
    Open,
    Complete,
    Expired,
}

/// A session as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutPage {
    pub id: String,
    pub status: CheckoutStatus,
    /// Of the page; none of a session that is not open.
    pub url: Option<String>,
    pub expires_at: i64,
}

impl CheckoutPage {
    fn read(object: &Value) -> Option<Self> {
        Some(Self {
            id: text(object, "/id")?,
            status: match text(object, "/status")?.as_str() {
                "complete" => CheckoutStatus::Complete,
                "expired" => CheckoutStatus::Expired,
                _ => CheckoutStatus::Open,
            },
            url: text(object, "/url"),
            expires_at: integer(object, "/expires_at").unwrap_or(0),
        })
    }
}

/// # Errors
/// See [`CallError`].
pub async fn create_checkout(
    transport: &Transport,
    wanted: &NewCheckout<'_>,
    key: &IdempotencyKey,
) -> Result<CheckoutPage, CallError> {
    let request = form(wanted).post("/checkout/sessions");
    let session = change(transport, "checkout_create", request, key).await?;
    CheckoutPage::read(&session).ok_or_else(|| not_a("checkout session"))
}

/// None when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_checkout(transport: &Transport, id: &str) -> Result<Option<CheckoutPage>, CallError> {
    let request = Form::default().get(format!("/checkout/sessions/{id}"));
    let session = find(transport, "checkout_retrieve", request).await?;
    session.map(|session| CheckoutPage::read(&session).ok_or_else(|| not_a("checkout session"))).transpose()
}

/// Closes an open session: nobody can pay it any more. Stripe refuses what is not open.
///
/// # Errors
/// See [`CallError`].
pub async fn expire_checkout(transport: &Transport, id: &str, key: &IdempotencyKey) -> Result<(), CallError> {
    let request = Form::default().post(format!("/checkout/sessions/{id}/expire"));
    change(transport, "checkout_expire", request, key).await.map(drop)
}

fn form(wanted: &NewCheckout<'_>) -> Form {
    let reference = Some(wanted.reference).filter(|name| name.chars().count() <= LONGEST_REFERENCE);
    let form = Form::default()
        .with("customer", wanted.customer)
        .with("success_url", wanted.success_url)
        .with_some("cancel_url", wanted.cancel_url)
        .with_some("client_reference_id", reference)
        .with_some("allow_promotion_codes", wanted.allow_promotion_codes.then_some(true))
        .with_entries("metadata", wanted.metadata);
    match &wanted.sale {
        Sale::Subscription { flat, metered, trial_days, mixed } => {
            let form = form
                .with("mode", "subscription")
                .with("line_items[0][price]", flat)
                .with("line_items[0][quantity]", 1)
                .with_entries("subscription_data[metadata]", wanted.metadata)
                .with_some("subscription_data[trial_period_days]", *trial_days)
                .with_some("subscription_data[billing_mode][type]", mixed.then_some("flexible"));
            let lines = (1..).zip(*metered);
            lines.fold(form, |form, (at, price)| form.with(&format!("line_items[{at}][price]"), price))
        }
        Sale::Goods { name, currency, amount } => form
            .with("mode", "payment")
            .with("line_items[0][price_data][currency]", currency)
            .with("line_items[0][price_data][unit_amount]", amount)
            .with("line_items[0][price_data][product_data][name]", name)
            .with("line_items[0][quantity]", 1)
            .with_entries("payment_intent_data[metadata]", wanted.metadata),
    }
}
