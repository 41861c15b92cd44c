//! What buying asks of Stripe: customers, prices, checkout, subscriptions, the portal, invoices, payment methods.
//!
//! Plain forms over our own transport, and answers read tolerantly: the typed requests of these areas would be
//! hundred thousands of generated lines for a dozen small forms. Every POST carries the caller's idempotency key;
//! its body is made from its arguments alone, so that the same order is the same bytes.

mod checkout;
mod customers;
pub(super) mod form;
mod invoices;
mod payment_methods;
mod portal;
mod prices;
mod subscriptions;

pub use checkout::{
    CheckoutPage, CheckoutStatus, NewCheckout, Sale, create_checkout, expire_checkout, retrieve_checkout,
};
pub use customers::{create_customer, find_customer};
pub use invoices::{ListedInvoice, list_invoices};
pub use payment_methods::{
    ListedPaymentMethod, attach_payment_method, has_payment_method, list_payment_methods,
};
pub use portal::create_portal;
pub use prices::{PriceObject, list_prices, retrieve_price};
pub use subscriptions::{
    ItemOrder, NewSubscription, cancel_subscription, create_subscription, make_flexible, resume_subscription,
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
    pub(super) fn read(list: &Value, row: impl Fn(&Value) -> Option<T>) -> Self {
        let rows = loose::elements(list, "/data").iter().filter_map(row).collect();
        Self { rows, has_more: loose::boolean(list, "/has_more").unwrap_or_default() }
    }
}

/// Reads an object; none where Stripe does not have it.
pub(super) async fn find(
    transport: &Transport,
    operation: &'static str,
    request: RequestBuilder,
) -> Result<Option<Value>, CallError> {
    match transport.calls(operation).read(request).await {
        Err(error) if error.is_missing() => Ok(None),
        answer => answer?.json().map(Some),
    }
}

pub(super) async fn change(
    transport: &Transport,
    operation: &'static str,
    request: RequestBuilder,
    key: &IdempotencyKey,
) -> Result<Value, CallError> {
    transport.calls(operation).change(request, key).await?.json()
}

pub(super) fn not_a(what: &str) -> CallError {
    CallError::Unreadable { reason: format!("not a {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stripe::test_server::{TestServer, says, says_with};

    fn key() -> IdempotencyKey {
        IdempotencyKey::new("acme:checkout.session.0:k").expect("a key")
    }

    fn wanted<'a>(sale: Sale<'a>, metadata: &'a [(&'a str, String)]) -> NewCheckout<'a> {
        NewCheckout {
            customer: "cus_1",
            reference: "acme",
            sale,
            success_url: "https://app.example/?s={CHECKOUT_SESSION_ID}",
            cancel_url: None,
            allow_promotion_codes: true,
            metadata,
        }
    }

    #[tokio::test]
    async fn every_attempt_is_the_same_bytes_under_the_callers_key() {
        let session =
            r#"{"id": "cs_1", "status": "open", "url": "https://pay.example/cs_1", "expires_at": 9}"#;
        let server = TestServer::start([says(500, "{}"), says(503, "<html>"), says(200, session)]).await;
        let sale =
            Sale::Subscription { flat: "price_1", metered: &["price_2"], trial_days: Some(14), mixed: true };
        let metadata = [("tollgate_customer", "acme".to_owned())];
        let made =
            create_checkout(&server.transport(), &wanted(sale, &metadata), &key()).await.expect("made");
        assert_eq!((made.id.as_str(), made.status), ("cs_1", CheckoutStatus::Open));
        let received = server.received();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|one| one.body == received[0].body));
        assert!(
            received.iter().all(|one| one.header("idempotency-key") == Some("acme:checkout.session.0:k"))
        );
        for part in [
            "mode=subscription",
            "line_items%5B1%5D%5Bprice%5D=price_2",
            "subscription_data%5Btrial_period_days%5D=14",
            "allow_promotion_codes=true",
            "subscription_data%5Bbilling_mode%5D%5Btype%5D=flexible",
            "subscription_data%5Bmetadata%5D%5Btollgate_customer%5D=acme",
            "success_url=https%3A%2F%2Fapp.example%2F%3Fs%3D%7BCHECKOUT_SESSION_ID%7D",
        ] {
            assert!(received[0].body.contains(part), "{part} in {}", received[0].body);
        }
        assert!(!received[0].body.contains("line_items%5B1%5D%5Bquantity%5D"), "metered: no quantity");
    }

    #[tokio::test]
    async fn a_customer_whose_making_was_not_answered_is_found_on_whatever_page_it_is() {
        let page = |id: &str, name: &str, more: bool| {
            let row = format!(r#"{{"id": "{id}", "metadata": {{"tollgate_customer": "{name}"}}}}"#);
            says(200, format!(r#"{{"data": [{row}], "has_more": {more}}}"#))
        };
        let server = TestServer::start([page("cus_9", "other", true), page("cus_8", "acme", true)]).await;
        let found = find_customer(&server.transport(), "acme", 100).await.expect("a list");
        assert_eq!(found.as_deref(), Some("cus_8"));
        let targets: Vec<_> = server.received().into_iter().map(|one| one.target).collect();
        assert_eq!(
            targets,
            [
                "/v1/customers?limit=100&created%5Bgte%5D=100",
                "/v1/customers?limit=100&created%5Bgte%5D=100&starting_after=cus_9"
            ]
        );
    }

    #[tokio::test]
    async fn what_stripe_does_not_have_is_none_and_a_refusal_keeps_its_words() {
        let missing = r#"{"error": {"type": "invalid_request_error", "code": "resource_missing"}}"#;
        let declined = r#"{"error": {"type": "card_error", "code": "card_declined", "message": "Your card was declined."}}"#;
        let replies = [
            says(404, missing),
            says(404, missing),
            says_with(402, &[("idempotent-replayed", "true")], declined),
        ];
        let server = TestServer::start(replies).await;
        let transport = server.transport();
        assert_eq!(retrieve_price(&transport, "price_1").await, Ok(None));
        assert_eq!(retrieve_checkout(&transport, "cs_1").await, Ok(None));
        let error = attach_payment_method(&transport, "pm_1", "cus_1", &key()).await;
        let Err(CallError::Status(error)) = error else { panic!("it was declined") };
        assert_eq!(error.message.as_deref(), Some("Your card was declined."));
        assert!(error.replayed);
    }
}
