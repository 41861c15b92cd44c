//! A payment intent, read again: one payment that is no invoice's.

use serde_json::Value;

use super::error::CallError;
use super::loose::{cut, id, integer, text};
use super::marks::Marks;
use super::retrieve::{not_a, retrieve};
use super::transport::Transport;

/// The parts of a payment intent that Tollgate uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PaymentIntent {
    pub id: String,
    pub customer: Option<String>,
    pub marks: Marks,
    pub state: PaymentState,
    /// In minor units of the currency.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    pub created: Option<i64>,
    /// Of the last attempt.
    pub charge: Option<String>,
    /// Why the last attempt failed.
    pub failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PaymentState {
    Succeeded,
    /// The last attempt failed, or it was called off.
    Failed,
    /// Nothing has been decided.
    #[default]
    Open,
}

/// As much of a reason as is kept.
const LONGEST_REASON: usize = 200;

/// The payment intent as it is now; none when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_payment_intent(
    transport: &Transport,
    payment: &str,
) -> Result<Option<PaymentIntent>, CallError> {
    let path = format!("/payment_intents/{payment}");
    let object = retrieve(transport, "payment_intent_retrieve", &path).await?;
    object.map(|object| PaymentIntent::read(&object).ok_or_else(|| not_a("payment intent"))).transpose()
}

impl PaymentIntent {
    fn read(object: &Value) -> Option<Self> {
        let failure = text(object, "/last_payment_error/message")
            .or_else(|| text(object, "/last_payment_error/code"))
            .or_else(|| text(object, "/cancellation_reason"));
        let state = match text(object, "/status").as_deref() {
            Some("succeeded") => PaymentState::Succeeded,
            Some("canceled") => PaymentState::Failed,
            Some("requires_payment_method") if failure.is_some() => PaymentState::Failed,
            _ => PaymentState::Open,
        };
        Some(Self {
            id: text(object, "/id")?,
            customer: id(object, "/customer"),
            marks: Marks::read(object),
            state,
            amount: integer(object, "/amount").unwrap_or(0),
            currency: text(object, "/currency").unwrap_or_default(),
            created: integer(object, "/created"),
            charge: id(object, "/latest_charge"),
            failure: failure.map(|failure| cut(&failure, LONGEST_REASON)),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    #[tokio::test]
    async fn a_payment_is_read_with_what_became_of_it() {
        let object = |status: &str, error: Value| {
            json!({ "id": "pi_1", "status": status, "amount": 1_000, "currency": "usd", "customer": "cus_1",
                "last_payment_error": error, "metadata": { "tollgate_customer": "acme" } })
        };
        let declined = json!({ "message": "Your card was declined.", "code": "card_declined" });
        let cases = [
            ("succeeded", Value::Null, PaymentState::Succeeded),
            // An attempt before the one that succeeded.
            ("succeeded", declined.clone(), PaymentState::Succeeded),
            ("requires_payment_method", declined, PaymentState::Failed),
            ("requires_payment_method", Value::Null, PaymentState::Open),
            ("processing", Value::Null, PaymentState::Open),
            ("canceled", Value::Null, PaymentState::Failed),
        ];
        let says = cases.iter().map(|(status, error, _)| says(200, object(status, error.clone())));
        let server = TestServer::start(says.collect::<Vec<_>>()).await;
        let transport = server.transport();
        for (status, _, state) in cases {
            let payment = retrieve_payment_intent(&transport, "pi_1").await.expect("an answer");
            let payment = payment.expect("a payment intent");
            assert_eq!(payment.state, state, "{status}");
            assert_eq!((payment.amount, payment.marks.customer.as_deref()), (1_000, Some("acme")));
        }
        assert_eq!(server.received()[0].target, "/v1/payment_intents/pi_1");
    }
}
