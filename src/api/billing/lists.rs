//! Invoices and payment methods as Stripe has them, and the history of credits.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::api::caller::Caller;
use crate::api::json::{Asked, Page, list};
use crate::api::{Failed, Public};
use crate::billing::ShopError;
use crate::domain::money::Currency;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::CreditRow;
use crate::stripe::{
    CallError, Listed, ListedInvoice, ListedPaymentMethod, list_invoices, list_payment_methods,
};

use super::orders::beside;

/// Stripe's most.
const STRIPES_PAGE: u32 = 100;

pub(super) async fn credits(
    State(public): State<Public>,
    caller: Caller,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Failed> {
    let limit = page.limit()?;
    let rows = public.store.credit_history(caller.entry.number, page.after()?, limit + 1).await?;
    let show = |row: &CreditRow| {
        json!({ "at": rfc3339(row.at), "kind": row.kind, "units": row.units, "balance": row.balance,
                "reason": row.reason })
    };
    Ok(list(rows, limit, |row| row.id.to_string(), show))
}

pub(super) async fn invoices(
    State(public): State<Public>,
    caller: Caller,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Failed> {
    let limit = page.limit()?.min(STRIPES_PAGE);
    let Some(customer) = caller.entry.stripe_customer() else { return Ok(nothing()) };
    let (transport, after) = (public.transport.clone(), page.cursor().map(str::to_owned));
    let listed = beside(&public, async move {
        list_invoices(&transport, &customer, limit, after.as_deref()).await.map_err(of_stripe)
    });
    Ok(shown(&listed.await?, |invoice| invoice.id.clone(), invoice))
}

pub(super) async fn payment_methods(
    State(public): State<Public>,
    caller: Caller,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Failed> {
    let limit = page.limit()?.min(STRIPES_PAGE);
    let Some(customer) = caller.entry.stripe_customer() else { return Ok(nothing()) };
    let (transport, after) = (public.transport.clone(), page.cursor().map(str::to_owned));
    let listed = beside(&public, async move {
        list_payment_methods(&transport, &customer, limit, after.as_deref()).await.map_err(of_stripe)
    });
    Ok(shown(&listed.await?, |method| method.id.clone(), payment_method))
}

/// Of whom Stripe does not know.
fn nothing() -> Json<Value> {
    Json(json!({ "data": [], "has_more": false, "next_cursor": null }))
}

fn shown<T>(listed: &Listed<T>, id: impl Fn(&T) -> String, show: impl Fn(&T) -> Value) -> Json<Value> {
    let next = listed.rows.last().filter(|_| listed.has_more).map(id);
    let data: Vec<_> = listed.rows.iter().map(show).collect();
    Json(json!({ "data": data, "has_more": next.is_some(), "next_cursor": next }))
}

/// Amounts are in major units, as everywhere here.
fn invoice(invoice: &ListedInvoice) -> Value {
    let amount = |minor: i64| Currency::parse(&invoice.currency).map(|c| c.major(minor).to_string());
    json!({
        "id": invoice.id,
        "number": invoice.number,
        "status": invoice.status,
        "currency": invoice.currency,
        "total": amount(invoice.total),
        "amount_due": amount(invoice.amount_due),
        "amount_paid": amount(invoice.amount_paid),
        "created": rfc3339(invoice.created),
        "period": {
            "start": invoice.period_start.map(rfc3339),
            "end": invoice.period_end.map(rfc3339),
        },
        "hosted_invoice_url": invoice.hosted_invoice_url,
        "invoice_pdf": invoice.invoice_pdf,
    })
}

fn payment_method(method: &ListedPaymentMethod) -> Value {
    json!({
        "id": method.id,
        "type": method.kind,
        "brand": method.brand,
        "last4": method.last4,
        "exp_month": method.exp_month,
        "exp_year": method.exp_year,
        "created": rfc3339(method.created),
    })
}

fn of_stripe(error: CallError) -> Failed {
    Failed(match &error {
        CallError::Status(status) if status.param.as_deref() == Some("starting_after") => {
            Problem::new(Code::BadRequest, "cursor is the next_cursor of a list")
        }
        _ => ShopError::from(error).problem(),
    })
}
