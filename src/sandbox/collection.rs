//! Collecting what an invoice says: the first attempt, those that follow by themselves, and the customer's own.
//!
//! A payment that fails is tried again 3, then 5, then 7 days later; after the fourth failure
//! [`AfterRetries`] says what becomes of the subscription. The first invoice of a subscription is not tried
//! again: the subscription is `incomplete` until it is paid.

use serde_json::Value;

use super::AfterRetries;
use super::alarms::Alarm;
use super::error::ApiError;
use super::invoices::{Collect, Invoice, InvoiceStatus, Reason, announce_payment};
use super::payment_methods;
use super::payments::{self, Attempt, Bill};
use super::state::{Call, Metadata, State};
use super::subscriptions::{self, Status};

const DAY: i64 = 86_400;
/// How long after each failure the next attempt is made.
const RETRIES: [i64; 3] = [3 * DAY, 5 * DAY, 7 * DAY];

/// The first attempt at an invoice that is open.
pub fn collect(state: &mut State, now: i64, invoice: &mut Invoice, collect: Collect) {
    let paid = match collect {
        Collect::Now => attempt(state, now, invoice, None).is_ok(),
        _ if invoice.total() <= 0 => true,
        Collect::Later => return,
        Collect::InVain => {
            invoice.attempts += 1;
            false
        }
    };
    if paid {
        settle(invoice, now);
    } else if invoice.reason != Reason::Create {
        plan_next(state, now, invoice);
    }
}

fn settle(invoice: &mut Invoice, now: i64) {
    invoice.status = InvoiceStatus::Paid;
    invoice.paid_at = Some(now);
    invoice.next_attempt = None;
}

/// Takes an invoice's money by the card given, its subscription's or the customer's.
fn attempt(state: &mut State, now: i64, invoice: &mut Invoice, card: Option<String>) -> Result<(), ApiError> {
    let subscription = invoice.subscription.as_deref().and_then(|id| state.subscriptions.get(id));
    let bill = Bill {
        amount: invoice.total(),
        currency: invoice.currency.clone(),
        customer: Some(invoice.customer.clone()),
        card: card.or_else(|| subscription?.default_payment_method.clone()),
        description: Some(invoice.reason.description().to_owned()),
        metadata: Metadata::new(),
        earlier: invoice.payment_intent.clone(),
    };
    let costs = bill.amount > 0;
    let Attempt { intent, result } = payments::take(state, now, bill);
    invoice.attempts += u32::from(costs);
    invoice.payment_intent = intent;
    result
}

fn plan_next(state: &mut State, now: i64, invoice: &mut Invoice) {
    let failures = usize::try_from(invoice.attempts).unwrap_or(usize::MAX);
    invoice.next_attempt = RETRIES.get(failures.saturating_sub(1)).map(|pause| now + pause);
    if let Some(at) = invoice.next_attempt {
        state.alarms.insert((at, Alarm::PaymentRetry(invoice.id.clone())));
    }
}

/// An attempt that nobody asked for: by the calendar, or by a hook.
pub fn retry(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let mut invoice = open(state, id)?;
    let result = attempt(state, now, &mut invoice, None);
    let (subscription, reason) = (invoice.subscription.clone(), invoice.reason);
    if result.is_err() && reason != Reason::Create {
        plan_next(state, now, &mut invoice);
    }
    let over = result.is_err() && reason != Reason::Create && invoice.next_attempt.is_none();
    write_down(state, now, invoice, result.is_ok())?;
    match subscription {
        Some(subscription) if over => give_up(state, now, &subscription),
        _ => Ok(()),
    }
}

/// Tries again when it is time, unless the invoice has been settled meanwhile.
pub fn retry_when_due(state: &mut State, now: i64, at: i64, id: &str) -> Result<(), ApiError> {
    let invoice = state.invoices.find(id)?;
    if invoice.status == InvoiceStatus::Open && invoice.next_attempt == Some(at) {
        retry(state, now, id)?;
    }
    Ok(())
}

fn open(state: &State, id: &str) -> Result<Invoice, ApiError> {
    let invoice = state.invoices.find(id)?;
    match invoice.status {
        InvoiceStatus::Open => Ok(invoice.clone()),
        InvoiceStatus::Paid => Err(ApiError::refused("Invoice is already paid")),
        other => Err(ApiError::refused(format!("Invoice is {}.", other.name()))),
    }
}

/// Puts an invoice back after an attempt, tells of it, and of what it means for the subscription.
fn write_down(state: &mut State, now: i64, mut invoice: Invoice, paid: bool) -> Result<(), ApiError> {
    let (id, subscription) = (invoice.id.clone(), invoice.subscription.clone());
    if paid {
        settle(&mut invoice, now);
    }
    *state.invoices.find_mut(&id)? = invoice;
    announce_payment(state, now, &id)?;
    let Some(subscription) = subscription.filter(|_| paid) else {
        return Ok(());
    };
    let status = state.subscriptions.find(&subscription)?.status;
    if matches!(status, Status::Incomplete | Status::PastDue | Status::Unpaid) {
        subscriptions::force_status(state, now, &subscription, Status::Active)?;
    }
    Ok(())
}

/// After the last attempt.
fn give_up(state: &mut State, now: i64, subscription: &str) -> Result<(), ApiError> {
    if state.subscriptions.find(subscription)?.status != Status::PastDue {
        return Ok(());
    }
    let status = match state.options.after_retries {
        AfterRetries::Cancel => Status::Canceled,
        AfterRetries::MarkUnpaid => Status::Unpaid,
        AfterRetries::LeavePastDue => return Ok(()),
    };
    subscriptions::force_status(state, now, subscription, status)
}

/// `POST /v1/invoices/:id/pay`: paid, its subscription is in good standing again; declined, it is one try more.
pub fn pay(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let mut invoice = open(state, call.id)?;
    let card = payment_methods::chosen(state, call.params, "payment_method", &invoice.customer)?;
    let elsewhere = call.params.boolean("paid_out_of_band")? == Some(true);
    let result = if elsewhere { Ok(()) } else { attempt(state, call.now, &mut invoice, card) };
    write_down(state, call.now, invoice, result.is_ok())?;
    result?;
    Ok(state.invoices.find(call.id)?.json(&state.base_url))
}

/// `POST /_sandbox/invoices/:id/attempt`.
pub fn try_again(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    retry(state, call.now, call.id)?;
    Ok(state.invoices.find(call.id)?.json(&state.base_url))
}

/// Makes no more attempts at what a subscription owes: it has ended.
pub fn stop(state: &mut State, customer: &str, subscription: &str) {
    let of_it = |invoice: &&Invoice| invoice.subscription.as_deref() == Some(subscription);
    let owed: Vec<_> =
        state.invoices.owned_by(customer).filter(of_it).map(|invoice| invoice.id.clone()).collect();
    for id in owed {
        if let Some(invoice) = state.invoices.get_mut(&id) {
            invoice.next_attempt = None;
        }
    }
}

/// Voids what an ended subscription still owes for its start.
pub fn void(state: &mut State, invoice: &str) {
    if let Some(invoice) = state.invoices.get_mut(invoice).filter(|row| row.status == InvoiceStatus::Open) {
        invoice.status = InvoiceStatus::Void;
        invoice.next_attempt = None;
    }
}
