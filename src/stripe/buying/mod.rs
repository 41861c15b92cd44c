//! What buying asks of Stripe: customers, prices, checkout, subscriptions, the portal, invoices, payment methods.
//!
//! Plain forms over our own transport, and answers read tolerantly: the typed requests of these areas would be
//! hundred thousands of generated lines for a dozen small forms. Every POST carries the caller's idempotency key;
//! its body is made from its arguments alone, so that the same order is the same bytes.

mod checkout;
mod customers;
mod form;
mod invoices;
mod payment_methods;
mod portal;
mod prices;
mod subscriptions;

pub use checkout::{
    CheckoutSession, CheckoutStatus, NewCheckout, Sale, create_checkout, expire_checkout, retrieve_checkout,
};
pub use customers::{create_customer, find_customer};
pub use invoices::{ListedInvoice, list_invoices};
pub use payment_methods::{ListedPaymentMethod, attach_payment_method, list_payment_methods};
pub use portal::create_portal;
pub use prices::{PriceObject, list_prices, retrieve_price};
pub use subscriptions::{
    ItemOrder, NewSubscription, cancel_subscription, create_subscription, resume_subscription,
    update_subscription,
};

use serde_json::Value;
use stripe_client_core::{IdempotencyKey, RequestBuilder};

use super::error::CallError;
use super::loose;
use super::transport::Transport;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub rows: Vec<T>,
    pub has_more: bool,
}

impl<T> Listed<T> {
    fn read(list: &Value, row: impl Fn(&Value) -> Option<T>) -> Self {
        let rows = loose::elements(list, "/data").iter().filter_map(row).collect();
        Self { rows, has_more: loose::boolean(list, "/has_more").unwrap_or_default() }
    }
}

/// Reads an object; none where Stripe does not have it.
async fn find(
    transport: &Transport,
    operation: &'static str,
    request: RequestBuilder,
) -> Result<Option<Value>, CallError> {
    match transport.calls(operation).read(request).await {
        Err(error) if error.is_missing() => Ok(None),
        answer => answer?.json().map(Some),
    }
}

async fn change(
    transport: &Transport,
    operation: &'static str,
    request: RequestBuilder,
    key: &IdempotencyKey,
) -> Result<Value, CallError> {
    transport.calls(operation).change(request, key).await?.json()
}

fn not_a(what: &str) -> CallError {
    CallError::Unreadable { reason: format!("not a {what}") }
}
