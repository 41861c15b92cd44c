//! Beginning, changing and ending subscriptions. Each answers the subscription as it is then.

use serde_json::Value;
use stripe_client_core::IdempotencyKey;

use super::form::Form;
use super::{change, not_a};
use crate::stripe::error::CallError;
use crate::stripe::subscription::SubscriptionObject;
use crate::stripe::transport::Transport;

/// A payment that fails leaves nothing behind: neither a subscription that waits for it, nor a changed one.
const OR_NOTHING: (&str, &str) = ("payment_behavior", "error_if_incomplete");

#[derive(Clone, Debug)]
pub struct NewSubscription<'a> {
    pub customer: &'a str,
    pub flat: &'a str,
    pub metered: &'a [&'a str],
    pub payment_method: &'a str,
    pub trial_days: Option<u32>,
    /// The prices recur at different intervals.
    pub mixed: bool,
    pub metadata: &'a [(&'a str, String)],
}

/// What becomes of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOrder {
    Replace { item: String, price: String },
    Add { price: String },
    Remove { item: String },
}

/// # Errors
/// See [`CallError`].
pub async fn create_subscription(
    transport: &Transport,
    wanted: &NewSubscription<'_>,
    key: &IdempotencyKey,
) -> Result<SubscriptionObject, CallError> {
    let form = Form::default()
        .with("customer", wanted.customer)
        .with("items[0][price]", wanted.flat)
        .with("default_payment_method", wanted.payment_method)
        .with(OR_NOTHING.0, OR_NOTHING.1)
        .with_some("trial_period_days", wanted.trial_days)
        .with_some("billing_mode[type]", wanted.mixed.then_some("flexible"))
        .with_entries("metadata", wanted.metadata);
    let items = (1..).zip(wanted.metered);
    let form = items.fold(form, |form, (at, price)| form.with(&format!("items[{at}][price]"), price));
    read(&change(transport, "subscription_create", form.post("/subscriptions"), key).await?)
}

/// Changes all items in one call. `proration` is Stripe's `proration_behavior`.
///
/// # Errors
/// See [`CallError`].
pub async fn update_subscription(
    transport: &Transport,
    id: &str,
    items: &[ItemOrder],
    proration: &str,
    key: &IdempotencyKey,
) -> Result<SubscriptionObject, CallError> {
    let form = Form::default().with("proration_behavior", proration).with(OR_NOTHING.0, OR_NOTHING.1);
    let form = items.iter().enumerate().fold(form, |form, (at, order)| {
        let name = |what: &str| format!("items[{at}][{what}]");
        match order {
            ItemOrder::Replace { item, price } => form.with(&name("id"), item).with(&name("price"), price),
            ItemOrder::Add { price } => form.with(&name("price"), price),
            ItemOrder::Remove { item } => form.with(&name("id"), item).with(&name("deleted"), true),
        }
    });
    read(&change(transport, "subscription_update", form.post(format!("/subscriptions/{id}")), key).await?)
}

/// Lets prices of several intervals stand on a subscription, and bills what was used under a price that is replaced.
///
/// # Errors
/// See [`CallError`].
pub async fn make_flexible(
    transport: &Transport,
    id: &str,
    key: &IdempotencyKey,
) -> Result<SubscriptionObject, CallError> {
    let form = Form::default().with("billing_mode[type]", "flexible");
    let request = form.post(format!("/subscriptions/{id}/migrate"));
    read(&change(transport, "subscription_update", request, key).await?)
}

/// Ends it with the period that is paid for, or at once; then what was used is billed, and nothing is given back.
///
/// # Errors
/// See [`CallError`].
pub async fn cancel_subscription(
    transport: &Transport,
    subscription: &SubscriptionObject,
    at_period_end: bool,
    key: &IdempotencyKey,
) -> Result<SubscriptionObject, CallError> {
    let path = format!("/subscriptions/{}", subscription.id);
    let (operation, request) = if at_period_end {
        // Of several periods Stripe's `cancel_at_period_end` is the end of the first: a month of a paid year.
        let form = if subscription.is_mixed() {
            Form::default().with("cancel_at", "max_period_end")
        } else {
            Form::default().with("cancel_at_period_end", true)
        };
        ("subscription_update", form.post(path))
    } else {
        let form = Form::default().with("invoice_now", true).with("prorate", false);
        ("subscription_cancel", form.delete(path))
    };
    read(&change(transport, operation, request, key).await?)
}

/// Takes an end that is to come back; one that is paused goes on.
///
/// # Errors
/// See [`CallError`].
pub async fn resume_subscription(
    transport: &Transport,
    subscription: &SubscriptionObject,
    key: &IdempotencyKey,
) -> Result<SubscriptionObject, CallError> {
    let path = format!("/subscriptions/{}", subscription.id);
    let request = if subscription.status == "paused" {
        Form::default().with("billing_cycle_anchor", "unchanged").post(format!("{path}/resume"))
    } else if subscription.cancel_at_period_end {
        Form::default().with("cancel_at_period_end", false).post(path)
    } else {
        Form::default().with("cancel_at", "").post(path)
    };
    read(&change(transport, "subscription_update", request, key).await?)
}

fn read(object: &Value) -> Result<SubscriptionObject, CallError> {
    SubscriptionObject::read(object).ok_or_else(|| not_a("subscription"))
}
