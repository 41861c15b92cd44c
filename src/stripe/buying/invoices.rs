//! A customer's invoices, as they are shown to them.

use serde_json::Value;

use super::Listed;
use super::form::Form;
use crate::stripe::error::CallError;
use crate::stripe::loose::{integer, text};
use crate::stripe::transport::Transport;

/// Amounts are in minor units of its currency, instants in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedInvoice {
    pub id: String,
    pub number: Option<String>,
    /// `draft`, `open`, `paid`, `uncollectible` or `void`.
    pub status: Option<String>,
    pub currency: String,
    pub total: i64,
    pub amount_due: i64,
    pub amount_paid: i64,
    pub created: i64,
    pub period_start: Option<i64>,
    pub period_end: Option<i64>,
    /// Where it can be read and paid.
    pub hosted_invoice_url: Option<String>,
    pub invoice_pdf: Option<String>,
}

impl ListedInvoice {
    fn read(object: &Value) -> Option<Self> {
        let amount = |pointer| integer(object, pointer).unwrap_or(0);
        Some(Self {
            id: text(object, "/id")?,
            number: text(object, "/number"),
            status: text(object, "/status"),
            currency: text(object, "/currency").unwrap_or_default(),
            total: amount("/total"),
            amount_due: amount("/amount_due"),
            amount_paid: amount("/amount_paid"),
            created: amount("/created"),
            period_start: integer(object, "/period_start"),
            period_end: integer(object, "/period_end"),
            hosted_invoice_url: text(object, "/hosted_invoice_url"),
            invoice_pdf: text(object, "/invoice_pdf"),
        })
    }
}

/// The newest first, behind the invoice `after`.
///
/// # Errors
/// See [`CallError`].
pub async fn list_invoices(
    transport: &Transport,
    customer: &str,
    limit: u32,
    after: Option<&str>,
) -> Result<Listed<ListedInvoice>, CallError> {
    let form =
        Form::default().with("customer", customer).with("limit", limit).with_some("starting_after", after);
    let page = transport.calls("invoice_list").read(form.get("/invoices")).await?.json()?;
    Ok(Listed::read(&page, ListedInvoice::read))
}
