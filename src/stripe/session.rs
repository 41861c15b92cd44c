//! A checkout session, read again: who bought what, and whether it is paid.

use serde_json::Value;

use super::error::CallError;
use super::loose::{id, text};
use super::marks::Marks;
use super::retrieve::{not_a, retrieve};
use super::transport::Transport;

/// The parts of a checkout session that Tollgate uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckoutSession {
    pub id: String,
    /// `open`, `complete` or `expired`.
    pub status: String,
    pub customer: Option<String>,
    pub subscription: Option<String>,
    pub payment_intent: Option<String>,
    pub client_reference_id: Option<String>,
    pub marks: Marks,
    /// It sells something for one payment, no subscription.
    pub is_payment: bool,
    /// Paid, or there is nothing to pay.
    pub is_paid: bool,
}

/// The session as it is now; none when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_session(
    transport: &Transport,
    session: &str,
) -> Result<Option<CheckoutSession>, CallError> {
    let path = format!("/checkout/sessions/{session}");
    let object = retrieve(transport, "checkout_retrieve", &path).await?;
    object.map(|object| CheckoutSession::read(&object).ok_or_else(|| not_a("checkout session"))).transpose()
}

impl CheckoutSession {
    fn read(object: &Value) -> Option<Self> {
        let paid = text(object, "/payment_status");
        Some(Self {
            id: text(object, "/id")?,
            status: text(object, "/status").unwrap_or_default(),
            customer: id(object, "/customer"),
            subscription: id(object, "/subscription"),
            payment_intent: id(object, "/payment_intent"),
            client_reference_id: text(object, "/client_reference_id"),
            marks: Marks::read(object),
            is_payment: text(object, "/mode").as_deref() == Some("payment"),
            is_paid: matches!(paid.as_deref(), Some("paid" | "no_payment_required")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    #[tokio::test]
    async fn a_session_says_who_bought_what_and_whether_it_is_paid() {
        let object = json!({ "id": "cs_1", "status": "complete", "mode": "payment", "payment_status": "paid",
            "customer": { "id": "cus_1" }, "payment_intent": "pi_1", "client_reference_id": "acme",
            "metadata": { "tollgate_customer": "acme", "tollgate_pack": "small", "tollgate_units": "1000" } });
        let missing = json!({ "error": { "type": "invalid_request_error", "code": "resource_missing" } });
        let server = TestServer::start([says(200, object), says(404, missing), says(200, "{}")]).await;
        let transport = server.transport();
        let session = retrieve_session(&transport, "cs_1").await.expect("an answer").expect("a session");
        assert_eq!(server.received()[0].target, "/v1/checkout/sessions/cs_1");
        assert_eq!(session.customer.as_deref(), Some("cus_1"));
        assert_eq!(session.payment_intent.as_deref(), Some("pi_1"));
        assert!(session.is_payment && session.is_paid);
        let (pack, units) = (Some("small".to_owned()), Some(1_000));
        assert_eq!(session.marks, Marks { customer: Some("acme".to_owned()), pack, units });
        assert_eq!(retrieve_session(&transport, "cs_2").await, Ok(None));
        retrieve_session(&transport, "cs_3").await.expect_err("no session");
    }

    #[test]
    fn what_is_not_paid_is_not_paid() {
        for (status, paid) in [("unpaid", false), ("no_payment_required", true), ("", false)] {
            let session = CheckoutSession::read(&json!({ "id": "cs_1", "payment_status": status }));
            assert_eq!(session.map(|session| session.is_paid), Some(paid), "{status}");
        }
    }
}
