//! Reading subscriptions back from Stripe: its current truth, whatever its webhooks said.
//!
//! One attempt per request: the callers' queues are durable and try again. What Stripe no longer has is an
//! answer (none, an empty list), not an error; unless the key is one of the other mode, which proves nothing.

use serde_json::Value;
use stripe_billing::subscription::{ListSubscription, ListSubscriptionStatus, RetrieveSubscription};
use stripe_client_core::StripeRequest;

use super::error::CallError;
use super::limiter::Lane;
use super::loose;
use super::subscription::SubscriptionObject;
use super::transport::Transport;

/// Stripe's most.
const PAGE: i64 = 100;
/// A customer with 5,000 subscriptions is a mistake, not a customer.
const MOST_PAGES: usize = 50;

/// A subscription as it is now, its customer expanded; none when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_subscription(
    transport: &Transport,
    id: &str,
) -> Result<Option<SubscriptionObject>, CallError> {
    let request = RetrieveSubscription::new(id).expand(vec!["customer".to_owned()]).build();
    let answer = match transport.once("subscription_retrieve", Lane::General, request, None).await {
        Err(error) if error.is_missing() => return Ok(None),
        answer => answer?,
    };
    SubscriptionObject::read(&answer.json()?).map(Some).ok_or_else(|| not_a("subscription"))
}

/// All subscriptions of a Stripe customer, ended ones too, newest first; none when Stripe does not have the
/// customer.
///
/// # Errors
/// See [`CallError`].
pub async fn list_subscriptions(
    transport: &Transport,
    customer: &str,
) -> Result<Vec<SubscriptionObject>, CallError> {
    let mut subscriptions = Vec::new();
    for _ in 0..MOST_PAGES {
        let after = subscriptions.last().map(|last: &SubscriptionObject| last.id.as_str());
        let page = match page(transport, customer, after).await {
            Err(error) if error.is_missing() => return Ok(subscriptions),
            page => page?,
        };
        let found = page.pointer("/data").and_then(Value::as_array);
        let found = found.ok_or_else(|| not_a("list"))?;
        for object in found {
            subscriptions.push(SubscriptionObject::read(object).ok_or_else(|| not_a("subscription"))?);
        }
        let has_more = loose::boolean(&page, "/has_more").unwrap_or_default();
        if !has_more || found.is_empty() {
            return Ok(subscriptions);
        }
    }
    Err(CallError::Unreadable { reason: format!("more than {MOST_PAGES} pages of subscriptions") })
}

async fn page(transport: &Transport, customer: &str, after: Option<&str>) -> Result<Value, CallError> {
    let mut request = ListSubscription::new()
        .customer(customer)
        .status(ListSubscriptionStatus::All)
        .limit(PAGE)
        .expand(vec!["data.customer".to_owned()]);
    if let Some(after) = after {
        request = request.starting_after(after);
    }
    transport.once("subscription_list", Lane::General, request.build(), None).await?.json()
}

fn not_a(what: &str) -> CallError {
    CallError::Unreadable { reason: format!("not a {what}") }
}

#[cfg(test)]
#[path = "subscriptions_tests.rs"]
mod tests;
