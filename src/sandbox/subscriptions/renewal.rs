//! What happens when a period ends: its usage is billed, the next period begins, a trial turns active,
//! a cancellation takes effect.

use super::create::cadence;
use super::{Item, Status, Subscription, end, json, reschedule};
use crate::sandbox::error::ApiError;
use crate::sandbox::events::{self, changed};
use crate::sandbox::invoices::{self, Bill, Collect, InvoiceStatus, Reason};
use crate::sandbox::period::{Period, containing};
use crate::sandbox::state::State;

/// Lets the period end that is the first to do so.
pub fn turn_first(state: &mut State, now: i64) {
    let Some((edge, id)) = state.edges.first().cloned() else {
        return;
    };
    if let Err(error) = turn(state, now, &id, edge, Collect::Now) {
        // Without this the same edge would come up for ever.
        state.edges.remove(&(edge, id.clone()));
        tracing::warn!(subscription = id, %error, "the sandbox could not renew a subscription");
    }
}

fn turn(state: &mut State, now: i64, id: &str, edge: i64, collect: Collect) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find(id)?.clone();
    if subscription.cancels_at().is_some_and(|end| end <= edge) {
        let bills = last_bills(&subscription, edge);
        attach_invoice(state, now, id, &bills, Reason::Cycle, Collect::Now, |_| ())?;
        return end::end_now(state, now, id);
    }
    let before = json(state, &subscription);
    let Renewal { bills, periods } = renewal(state, &subscription, edge)?;
    let row = state.subscriptions.find_mut(id)?;
    for (item, period) in periods {
        row.items.iter_mut().filter(|row| row.id == item).for_each(|row| row.period = period);
    }
    if row.status == Status::Trialing {
        row.status = Status::Active;
    }
    let collect = if row.status == Status::Active { collect } else { Collect::InVain };
    reschedule(state, id);
    attach_invoice(state, now, id, &bills, Reason::Cycle, collect, |state| announce(state, now, id, &before))
}

/// What the end of a period brings.
pub struct Renewal {
    pub bills: Vec<(Item, Bill)>,
    /// The next period of each item whose period has ended.
    periods: Vec<(String, Period)>,
}

/// What happens to a subscription at `edge`.
pub fn renewal(state: &State, subscription: &Subscription, edge: i64) -> Result<Renewal, ApiError> {
    let mut renewal = Renewal { bills: usage_bills(subscription, edge), periods: Vec::new() };
    for item in subscription.items.iter().filter(|item| item.period.end <= edge) {
        let next = containing(subscription.anchor, cadence(state, &item.price)?, item.period.end);
        let period = Period { start: item.period.end, end: next.end };
        renewal.periods.push((item.id.clone(), period));
        renewal.bills.extend(item.quantity.map(|_| (item.clone(), Bill::Fee(period))));
    }
    Ok(renewal)
}

/// The metered items whose period has ended; usage during a trial is free.
fn usage_bills(subscription: &Subscription, edge: i64) -> Vec<(Item, Bill)> {
    if subscription.status == Status::Trialing {
        return Vec::new();
    }
    let ended = subscription.items.iter().filter(|item| item.period.end <= edge);
    let metered = ended.filter(|item| item.quantity.is_none());
    metered.map(|item| (item.clone(), Bill::Usage(item.period))).collect()
}

/// The usage up to the end of everything, also of periods that this cuts short.
fn last_bills(subscription: &Subscription, edge: i64) -> Vec<(Item, Bill)> {
    let mut cut = subscription.clone();
    for item in &mut cut.items {
        item.period.end = item.period.end.min(edge);
    }
    usage_bills(&cut, edge)
}

/// A subscription whose periods all end now and start anew, anchored at this moment.
pub fn restarted(subscription: &Subscription, now: i64) -> Subscription {
    let mut restarted = subscription.clone();
    for item in &mut restarted.items {
        item.period.end = now;
    }
    restarted.anchor = now;
    restarted.trial = restarted.trial.map(|trial| Period { end: trial.end.min(now), ..trial });
    restarted
}

/// Ends all periods now, bills their usage, and starts new ones.
pub fn close_periods(state: &mut State, now: i64, id: &str, collect: Collect) -> Result<(), ApiError> {
    let row = state.subscriptions.find_mut(id)?;
    *row = restarted(row, now);
    turn(state, now, id, now, collect)
}

/// Makes an invoice for a subscription, unless there is nothing to bill. Left unpaid it shows in the status.
/// `between` runs after the subscription names its invoice and before the invoice's own events.
pub fn attach_invoice(
    state: &mut State,
    now: i64,
    id: &str,
    bills: &[(Item, Bill)],
    reason: Reason,
    collect: Collect,
    between: impl FnOnce(&mut State),
) -> Result<(), ApiError> {
    if bills.is_empty() {
        between(state);
        return Ok(());
    }
    let invoice = invoices::issue(state, now, id, bills, reason, collect)?;
    let unpaid = state.invoices.find(&invoice)?.status == InvoiceStatus::Open;
    let row = state.subscriptions.find_mut(id)?;
    row.latest_invoice = Some(invoice.clone());
    if unpaid && row.status == Status::Active {
        row.status = if reason == Reason::Create { Status::Incomplete } else { Status::PastDue };
        reschedule(state, id);
    }
    between(state);
    invoices::announce(state, now, &invoice)
}

/// Emits what changed since `before`, if anything did.
pub fn announce(state: &mut State, now: i64, id: &str, before: &serde_json::Value) {
    let Some(subscription) = state.subscriptions.get(id) else {
        return;
    };
    let after = json(state, subscription);
    if let Some(previous) = changed(before, &after) {
        events::emit_change(state, now, "customer.subscription.updated", after, previous);
    }
}
