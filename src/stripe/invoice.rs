//! An invoice, read again: what was asked for, what was paid, and what for.
//!
//! Until 2025-03-31 a line names its price as an object, since then below `pricing`; both are read.

use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};

use super::error::CallError;
use super::limiter::Lane;
use super::loose::{boolean, elements, id, integer, lookup_key, text};
use super::retrieve::{not_a, retrieve};
use super::transport::Transport;

/// The parts of an invoice that Tollgate uses; instants are seconds since the Unix epoch, amounts minor units.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invoice {
    pub id: String,
    pub customer: Option<String>,
    pub subscription: Option<String>,
    /// `metadata.tollgate_customer` of the invoice or of the subscription as it was then.
    pub tollgate_customer: Option<String>,
    /// `draft`, `open`, `paid`, `uncollectible` or `void`.
    pub status: String,
    /// `subscription_create`, `subscription_cycle`, …
    pub billing_reason: String,
    pub amount_due: i64,
    pub amount_paid: i64,
    /// In lower case.
    pub currency: String,
    /// How often its payment was tried.
    pub attempt_count: u32,
    pub created: i64,
    pub paid_at: Option<i64>,
    /// When it is tried again, if it is.
    pub next_payment_attempt: Option<i64>,
    pub lines: Vec<InvoiceLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InvoiceLine {
    pub price: Option<String>,
    pub amount: i64,
    pub period_start: i64,
    pub period_end: i64,
    /// It settles a change within a period.
    pub proration: bool,
}

/// The invoice as it is now, with up to a hundred lines; none when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_invoice(transport: &Transport, invoice: &str) -> Result<Option<Invoice>, CallError> {
    let path = format!("/invoices/{invoice}");
    let Some(object) = retrieve(transport, "invoice_retrieve", &path).await? else { return Ok(None) };
    let mut read = Invoice::read(&object).ok_or_else(|| not_a("invoice"))?;
    if boolean(&object, "/lines/has_more") == Some(true) {
        let request = RequestBuilder::new(StripeMethod::Get, format!("{path}/lines"));
        let request = request.query(&serde_json::json!({ "limit": 100 }));
        let lines = transport.once("invoice_retrieve", Lane::General, request, None).await?.json()?;
        read.lines = elements(&lines, "/data").iter().map(InvoiceLine::read).collect();
    }
    Ok(Some(read))
}

/// The lookup key of a price, or the one it was made under; none where it has none, or Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_lookup_key(transport: &Transport, price: &str) -> Result<Option<String>, CallError> {
    let object = retrieve(transport, "price_retrieve", &format!("/prices/{price}")).await?;
    Ok(object.as_ref().and_then(lookup_key))
}

impl Invoice {
    fn read(object: &Value) -> Option<Self> {
        let tollgate_customer = [
            "/metadata/tollgate_customer",
            "/parent/subscription_details/metadata/tollgate_customer",
            "/subscription_details/metadata/tollgate_customer",
        ];
        Some(Self {
            id: text(object, "/id")?,
            customer: id(object, "/customer"),
            subscription: id(object, "/parent/subscription_details/subscription")
                .or_else(|| id(object, "/subscription")),
            tollgate_customer: tollgate_customer.into_iter().find_map(|pointer| text(object, pointer)),
            status: text(object, "/status").unwrap_or_default(),
            billing_reason: text(object, "/billing_reason").unwrap_or_default(),
            amount_due: integer(object, "/amount_due").unwrap_or(0),
            amount_paid: integer(object, "/amount_paid").unwrap_or(0),
            currency: text(object, "/currency").unwrap_or_default(),
            attempt_count: integer(object, "/attempt_count").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            created: integer(object, "/created").unwrap_or(0),
            paid_at: integer(object, "/status_transitions/paid_at"),
            next_payment_attempt: integer(object, "/next_payment_attempt"),
            lines: elements(object, "/lines/data").iter().map(InvoiceLine::read).collect(),
        })
    }

    pub fn is_paid(&self) -> bool {
        self.status == "paid"
    }

    /// An attempt to collect it has failed, and it is still owed.
    pub fn has_failed(&self) -> bool {
        self.attempt_count > 0 && matches!(self.status.as_str(), "open" | "uncollectible")
    }
}

impl InvoiceLine {
    fn read(line: &Value) -> Self {
        Self {
            price: id(line, "/pricing/price_details/price").or_else(|| id(line, "/price")),
            amount: integer(line, "/amount").unwrap_or(0),
            period_start: integer(line, "/period/start").unwrap_or(0),
            period_end: integer(line, "/period/end").unwrap_or(0),
            proration: boolean(line, "/parent/subscription_item_details/proration")
                .or_else(|| boolean(line, "/parent/invoice_item_details/proration"))
                .or_else(|| boolean(line, "/proration"))
                .unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    fn invoice() -> Value {
        json!({ "id": "in_1", "customer": "cus_1", "status": "paid", "billing_reason": "subscription_cycle",
            "amount_due": 9_900, "amount_paid": 9_900, "currency": "usd", "attempt_count": 1, "created": 100,
            "status_transitions": { "paid_at": 160 },
            "parent": { "subscription_details": { "subscription": "sub_1",
                "metadata": { "tollgate_customer": "acme" } } },
            "lines": { "data": [{ "amount": 9_900, "period": { "start": 100, "end": 200 },
                "parent": { "subscription_item_details": { "proration": false } },
                "pricing": { "price_details": { "price": "price_1" } } }] } })
    }

    #[tokio::test]
    async fn an_invoice_says_what_was_paid_and_what_for() {
        let server = TestServer::start([says(200, invoice())]).await;
        let invoice = retrieve_invoice(&server.transport(), "in_1").await.expect("an answer").expect("one");
        assert_eq!(server.received()[0].target, "/v1/invoices/in_1");
        assert_eq!(invoice.subscription.as_deref(), Some("sub_1"));
        assert_eq!(invoice.tollgate_customer.as_deref(), Some("acme"));
        assert_eq!((invoice.amount_paid, invoice.paid_at), (9_900, Some(160)));
        assert!(invoice.is_paid() && !invoice.has_failed());
        let line = InvoiceLine {
            price: Some("price_1".to_owned()),
            amount: 9_900,
            period_start: 100,
            period_end: 200,
            proration: false,
        };
        assert_eq!(invoice.lines, [line]);
    }

    #[tokio::test]
    async fn the_lines_of_a_long_invoice_are_read_from_their_list() {
        let mut long = invoice();
        long["lines"]["has_more"] = json!(true);
        let line = |price: &str| json!({ "amount": 1, "pricing": { "price_details": { "price": price } } });
        let all = json!({ "data": [line("price_1"), line("price_2")], "has_more": false });
        let server = TestServer::start([says(200, long), says(200, all)]).await;
        let invoice = retrieve_invoice(&server.transport(), "in_1").await.expect("an answer").expect("one");
        assert_eq!(server.received()[1].target, "/v1/invoices/in_1/lines?limit=100");
        assert_eq!(invoice.lines.len(), 2);
    }

    #[test]
    fn an_invoice_of_an_older_version_is_read_too() {
        let object = json!({ "id": "in_1", "status": "open", "attempt_count": 2, "subscription": "sub_1",
            "subscription_details": { "metadata": { "tollgate_customer": "acme" } },
            "lines": { "data": [{ "price": { "id": "price_1" }, "proration": true }] } });
        let invoice = Invoice::read(&object).expect("an invoice");
        assert_eq!(invoice.subscription.as_deref(), Some("sub_1"));
        assert_eq!(invoice.tollgate_customer.as_deref(), Some("acme"));
        assert_eq!(invoice.lines[0].price.as_deref(), Some("price_1"));
        assert!(invoice.lines[0].proration && invoice.has_failed());
    }
}
