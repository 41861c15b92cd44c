//! Invoices: issued when a subscription starts and at the end of each period, or previewed.
//!
//! Whoever issues one says whether its payment is taken; what follows a payment that fails is in `collection.rs`.

use serde_json::Value;

use super::customers;
use super::error::ApiError;
use super::events;
pub use super::invoice_lines::Bill;
use super::invoice_lines::{self, Line};
use super::params::Params;
use super::period::{Period, containing};
use super::span::Span;
use super::state::{Call, Metadata, State};
use super::subscriptions::{Item, Status, Subscription};
use super::table::{Page, Row, list};
use super::{collection, payment_intents};

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
    /// How often its payment was tried.
    pub attempts: u32,
    /// When it is tried again by itself.
    pub next_attempt: Option<i64>,
    /// The last payment that was tried.
    pub payment_intent: Option<String>,
}

/// What is done about the payment of an invoice when it is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collect {
    /// It is taken.
    Now,
    /// Nothing: the customer will confirm it, as `payment_behavior=default_incomplete` says.
    Later,
    /// It is tried and fails, whatever the card.
    InVain,
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

    /// What Stripe writes on the payment.
    pub fn description(self) -> &'static str {
        match self {
            Self::Create => "Subscription creation",
            Self::Cycle | Self::Update | Self::Upcoming => "Subscription update",
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

/// Issues an invoice for a subscription.
pub fn issue(
    state: &mut State,
    now: i64,
    subscription: &str,
    bills: &[(Item, Bill)],
    reason: Reason,
    collect: Collect,
) -> Result<String, ApiError> {
    let subscription = state.subscriptions.find(subscription)?.clone();
    let mut invoice = draft(state, now, &subscription, bills, reason)?;
    invoice.id = state.ids.make("in");
    invoice.number = state.invoices.len() + 1;
    let pause = subscription.pause_collection.as_ref().map(|pause| pause.behavior.as_str());
    invoice.status = match pause {
        Some("void") => InvoiceStatus::Void,
        Some("mark_uncollectible") => InvoiceStatus::Uncollectible,
        Some(_) => InvoiceStatus::Draft,
        None => InvoiceStatus::Open,
    };
    if invoice.status == InvoiceStatus::Open {
        collection::collect(state, now, &mut invoice, collect);
    }
    let id = invoice.id.clone();
    state.invoices.insert(invoice);
    Ok(id)
}

/// An invoice that is nobody's yet.
pub fn draft(
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
        attempts: 0,
        next_attempt: None,
        payment_intent: None,
    })
}

/// The events of an invoice that is new.
pub fn announce(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    if state.options.invoice_steps {
        let object = state.invoices.find(id)?.json(&state.base_url);
        events::emit(state, now, "invoice.created", object.clone());
        if object["status"] != "draft" {
            events::emit(state, now, "invoice.finalized", object);
        }
    }
    announce_payment(state, now, id)
}

/// The events of an attempt to pay an invoice.
pub fn announce_payment(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let invoice = state.invoices.find(id)?;
    let object = invoice.json(&state.base_url);
    let kinds: &[&str] = match invoice.status {
        InvoiceStatus::Paid => &["invoice.paid", "invoice.payment_succeeded"],
        InvoiceStatus::Open if invoice.attempts > 0 => &["invoice.payment_failed"],
        _ => &[],
    };
    if let Some(intent) = invoice.payment_intent.clone() {
        payment_intents::announce(state, now, &intent);
    }
    for kind in kinds {
        events::emit(state, now, kind, object.clone());
    }
    Ok(())
}

/// `POST /v1/invoices/create_preview`: what the next invoice would be if it were issued now. It holds the
/// usage so far and the next period's flat fees of the items whose period ends first.
pub fn preview(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let subscription = previewed(state, call.params)?.clone();
    Ok(upcoming(state, call.now, &subscription)?.json(&state.base_url))
}

fn upcoming(state: &mut State, now: i64, subscription: &Subscription) -> Result<Invoice, ApiError> {
    let edge = subscription.items.iter().map(|item| item.period.end).min().unwrap_or(now);
    let mut bills = Vec::new();
    for item in subscription.items.iter().filter(|item| item.period.end == edge) {
        match item.quantity {
            None if subscription.status == Status::Trialing => {}
            None => bills.push((item.clone(), Bill::Usage(item.period))),
            Some(_) if subscription.cancels_at().is_some_and(|end| end <= edge) => {}
            Some(_) => bills.push((item.clone(), Bill::Fee(following(state, subscription, item)?))),
        }
    }
    draft(state, now, subscription, &bills, Reason::Upcoming)
}

/// Tells that a subscription's next invoice is near. As at Stripe the invoice in the event has no id.
pub fn announce_upcoming(state: &mut State, now: i64, subscription: &str) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find(subscription)?.clone();
    let mut object = upcoming(state, now, &subscription)?.json(&state.base_url);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("id");
    }
    events::emit(state, now, "invoice.upcoming", object);
    Ok(())
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

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.invoices.find(call.id)?.json(&state.base_url))
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let (status, subscription) = (call.params.filled("status"), call.params.filled("subscription"));
    let created = Span::read(call.params, "created")?;
    let keep = |invoice: &Invoice| {
        created.contains(invoice.created)
            && status.is_none_or(|status| invoice.status.name() == status)
            && subscription.is_none_or(|id| invoice.subscription.as_deref() == Some(id))
    };
    let customer = call.params.filled("customer");
    let (rows, more) = state.invoices.page(&Page::read(call.params)?, customer, keep)?;
    let data = rows.into_iter().map(|row| row.json(&state.base_url)).collect();
    Ok(list("/v1/invoices", data, more))
}
