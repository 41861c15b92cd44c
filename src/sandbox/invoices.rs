//! Invoices: issued when a subscription starts and at the end of each period, or previewed.

use serde_json::Value;

use super::customers;
use super::error::ApiError;
use super::events;
pub use super::invoice_lines::Bill;
use super::invoice_lines::{self, Line};
use super::params::Params;
use super::period::{Period, containing};
use super::state::{Call, Metadata, State};
use super::subscriptions::{self, Item, Status, Subscription};
use super::table::{Page, Row, list};

#[derive(Debug, Clone)]
pub struct Invoice {
    pub id: String,
    pub customer: String,
    pub subscription: Option<String>,
    /// The subscription's metadata when it was issued.
    pub metadata: Metadata,
    pub currency: String,
    pub status: InvoiceStatus,
    pub reason: Reason,
    pub lines: Vec<Line>,
    pub number: usize,
    pub created: i64,
    pub paid_at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceStatus {
    Draft,
    Open,
    Paid,
    Uncollectible,
    Void,
}

/// Why an invoice exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Create,
    Cycle,
    Update,
    Upcoming,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "subscription_create",
            Self::Cycle => "subscription_cycle",
            Self::Update => "subscription_update",
            Self::Upcoming => "upcoming",
        }
    }
}

impl InvoiceStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Uncollectible => "uncollectible",
            Self::Void => "void",
        }
    }
}

impl Row for Invoice {
    const NOUN: &'static str = "invoice";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.customer)
    }
}

/// Issues an invoice for a subscription; `pays` says whether the payment succeeds.
pub fn issue(
    state: &mut State,
    now: i64,
    subscription: &str,
    bills: &[(Item, Bill)],
    reason: Reason,
    pays: bool,
) -> Result<String, ApiError> {
    let subscription = state.subscriptions.find(subscription)?.clone();
    let mut invoice = draft(state, now, &subscription, bills, reason)?;
    invoice.id = state.ids.make("in");
    let pause = subscription.pause_collection.as_ref().map(|pause| pause.behavior.as_str());
    invoice.status = match pause {
        Some("void") => InvoiceStatus::Void,
        Some("mark_uncollectible") => InvoiceStatus::Uncollectible,
        Some(_) => InvoiceStatus::Draft,
        None if pays => InvoiceStatus::Paid,
        None => InvoiceStatus::Open,
    };
    Ok(keep(state, invoice, now))
}

fn keep(state: &mut State, mut invoice: Invoice, now: i64) -> String {
    invoice.number = state.invoices.len() + 1;
    invoice.paid_at = (invoice.status == InvoiceStatus::Paid).then_some(now);
    let id = invoice.id.clone();
    state.invoices.insert(invoice);
    id
}

fn draft(
    state: &mut State,
    now: i64,
    subscription: &Subscription,
    bills: &[(Item, Bill)],
    reason: Reason,
) -> Result<Invoice, ApiError> {
    let mut lines = Vec::new();
    for (item, bill) in bills {
        lines.extend(invoice_lines::for_item(state, subscription, item, *bill)?);
    }
    Ok(Invoice {
        id: format!("upcoming_{}", state.ids.make("in")),
        customer: subscription.customer.clone(),
        subscription: Some(subscription.id.clone()),
        metadata: subscription.metadata.clone(),
        currency: subscription.currency.clone(),
        status: InvoiceStatus::Draft,
        reason,
        lines,
        number: 0,
        created: now,
        paid_at: None,
    })
}

/// The events that follow an invoice: it was paid, or its payment failed.
pub fn announce(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let invoice = state.invoices.find(id)?;
    let object = invoice.json(&state.base_url);
    let kinds: &[&str] = match (invoice.status, invoice.reason) {
        (InvoiceStatus::Paid, _) => &["invoice.paid", "invoice.payment_succeeded"],
        // An incomplete subscription waits for its first payment; nothing has failed yet.
        (InvoiceStatus::Open, Reason::Create) => &[],
        (InvoiceStatus::Open, _) => &["invoice.payment_failed"],
        _ => &[],
    };
    for kind in kinds {
        events::emit(state, now, kind, object.clone());
    }
    Ok(())
}

/// `POST /v1/invoices/create_preview`: what the next invoice would be if it were issued now. It holds the
/// usage so far and the next period's flat fees of the items whose period ends first.
pub fn preview(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let subscription = previewed(state, call.params)?.clone();
    let edge = subscription.items.iter().map(|item| item.period.end).min().unwrap_or(call.now);
    let mut bills = Vec::new();
    for item in subscription.items.iter().filter(|item| item.period.end == edge) {
        match item.quantity {
            None if subscription.status == Status::Trialing => {}
            None => bills.push((item.clone(), Bill::Usage(item.period))),
            Some(_) if subscription.cancel_at_period_end => {}
            Some(_) => bills.push((item.clone(), Bill::Fee(following(state, &subscription, item)?))),
        }
    }
    let invoice = draft(state, call.now, &subscription, &bills, Reason::Upcoming)?;
    Ok(invoice.json(&state.base_url))
}

fn previewed<'a>(state: &'a State, params: &Params) -> Result<&'a Subscription, ApiError> {
    if let Some(id) = params.filled("subscription") {
        let subscription = state.subscriptions.referenced(id, "subscription")?;
        if subscription.status.ended() {
            return Err(ApiError::refused(
                "Cannot preview the upcoming invoice for a canceled subscription.",
            ));
        }
        return Ok(subscription);
    }
    let customer = params.required("customer")?;
    customers::referenced(state, customer, "customer")?;
    let mut rows = state.subscriptions.owned_by(customer);
    rows.find(|row| !row.status.ended()).ok_or_else(|| {
        let message = format!("No upcoming invoices for customer: {customer}");
        ApiError::refused(message).about("customer")
    })
}

fn following(state: &State, subscription: &Subscription, item: &Item) -> Result<Period, ApiError> {
    let price = state.prices.referenced(&item.price, "price")?;
    let next = price
        .recurring
        .as_ref()
        .map(|recurring| containing(subscription.anchor, recurring.cadence, item.period.end));
    Ok(Period { start: item.period.end, end: next.map_or(item.period.end, |next| next.end) })
}

/// `POST /v1/invoices/:id/pay`: an open invoice is paid, and its subscription is in good standing again.
pub fn pay(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let invoice = state.invoices.find_mut(call.id)?;
    if invoice.status != InvoiceStatus::Open {
        return Err(ApiError::refused(format!("Invoice is {}.", invoice.status.name())));
    }
    invoice.status = InvoiceStatus::Paid;
    invoice.paid_at = Some(call.now);
    let subscription = invoice.subscription.clone();
    announce(state, call.now, call.id)?;
    if let Some(id) = subscription {
        let row = state.subscriptions.find(&id)?;
        if matches!(row.status, Status::Incomplete | Status::PastDue | Status::Unpaid) {
            subscriptions::force_status(state, call.now, &id, Status::Active)?;
        }
    }
    Ok(state.invoices.find(call.id)?.json(&state.base_url))
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.invoices.find(call.id)?.json(&state.base_url))
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let (status, subscription) = (call.params.filled("status"), call.params.filled("subscription"));
    let keep = |invoice: &Invoice| {
        status.is_none_or(|status| invoice.status.name() == status)
            && subscription.is_none_or(|id| invoice.subscription.as_deref() == Some(id))
    };
    let customer = call.params.filled("customer");
    let (rows, more) = state.invoices.page(&Page::read(call.params)?, customer, keep)?;
    let data = rows.into_iter().map(|row| row.json(&state.base_url)).collect();
    Ok(list("/v1/invoices", data, more))
}
