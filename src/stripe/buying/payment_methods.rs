//! What customers pay with.

use serde_json::Value;
use stripe_client_core::IdempotencyKey;

use super::form::Form;
use super::{Listed, change, find, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::{integer, text};
use crate::stripe::transport::Transport;

/// Of a card only what is printed on receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPaymentMethod {
    pub id: String,
    /// `card`, `sepa_debit`, …
    pub kind: String,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<i64>,
    pub exp_year: Option<i64>,
    pub created: i64,
}

impl ListedPaymentMethod {
    fn read(object: &Value) -> Option<Self> {
        let kind = text(object, "/type")?;
        Some(Self {
            id: text(object, "/id")?,
            brand: text(object, "/card/brand"),
            last4: text(object, &format!("/{kind}/last4")),
            exp_month: integer(object, "/card/exp_month"),
            exp_year: integer(object, "/card/exp_year"),
            created: integer(object, "/created").unwrap_or(0),
            kind,
        })
    }
}

/// The newest first, behind the one `after`.
///
/// # Errors
/// See [`CallError`].
pub async fn list_payment_methods(
    transport: &Transport,
    customer: &str,
    limit: u32,
    after: Option<&str>,
) -> Result<Listed<ListedPaymentMethod>, CallError> {
    let form = Form::default().with("limit", limit).with_some("starting_after", after);
    let request = form.get(format!("/customers/{customer}/payment_methods"));
    let page = transport.calls("payment_method_list").read(request).await?.json()?;
    Ok(Listed::read(&page, ListedPaymentMethod::read))
}

/// Whether a payment method is a customer's already.
///
/// # Errors
/// See [`CallError`].
pub async fn has_payment_method(transport: &Transport, customer: &str, id: &str) -> Result<bool, CallError> {
    let request = Form::default().get(format!("/customers/{customer}/payment_methods/{id}"));
    Ok(find(transport, "payment_method_retrieve", request).await?.is_some())
}

/// Gives a payment method to a customer; answers its id, which is another one for Stripe's test cards. Stripe refuses
/// what is somebody else's.
///
/// # Errors
/// See [`CallError`].
pub async fn attach_payment_method(
    transport: &Transport,
    id: &str,
    customer: &str,
    key: &IdempotencyKey,
) -> Result<String, CallError> {
    let request = Form::default().with("customer", customer).post(format!("/payment_methods/{id}/attach"));
    let method = change(transport, "payment_method_attach", request, key).await?;
    text(&method, "/id").ok_or_else(|| not_a("payment method"))
}
