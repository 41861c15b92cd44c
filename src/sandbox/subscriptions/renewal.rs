//! What happens when a period ends: its usage is billed, the next period begins, a trial turns active,
//! a cancellation takes effect.

use super::create::cadence;
use super::{Item, Status, Subscription, end, json, reschedule};
use crate::sandbox::error::ApiError;
use crate::sandbox::events::{self, changed};
use crate::sandbox::invoices::{self, Bill, Reason};
use crate::sandbox::period::{Period, containing};
use crate::sandbox::state::State;

/// Lets every period end that has ended by `now`.
pub fn tick(state: &mut State, now: i64) {
    while let Some((edge, id)) = state.edges.first().filter(|(edge, _)| *edge <= now).cloned() {
        if let Err(error) = turn(state, now, &id, edge) {
            // Without this the same edge would come up for ever.
            state.edges.remove(&(edge, id.clone()));
            tracing::warn!(subscription = id, %error, "the sandbox could not renew a subscription");
        }
    }
}

fn turn(state: &mut State, now: i64, id: &str, edge: i64) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find(id)?.clone();
    if subscription.cancels_at().is_some_and(|end| end <= edge) {
        let bills = usage_bills(&subscription, edge);
        attach_invoice(state, now, id, &bills, Reason::Cycle, true, |_| ())?;
        return end::end_now(state, now, id);
    }
    let before = json(state, &subscription);
    let ending = subscription.items.iter().filter(|item| item.period.end <= edge);
    let mut bills = usage_bills(&subscription, edge);
    let mut renewed = Vec::new();
    for item in ending {
        let next = containing(subscription.anchor, cadence(state, &item.price)?, item.period.end);
        let period = Period { start: item.period.end, end: next.end };
        renewed.push((item.id.clone(), period));
        bills.extend(item.quantity.map(|_| (item.clone(), Bill::Fee(period))));
    }
    let row = state.subscriptions.find_mut(id)?;
    for (item, period) in renewed {
        row.items.iter_mut().filter(|row| row.id == item).for_each(|row| row.period = period);
    }
    if row.status == Status::Trialing {
        row.status = Status::Active;
    }
    let pays = row.status == Status::Active;
    reschedule(state, id);
    attach_invoice(state, now, id, &bills, Reason::Cycle, pays, |state| announce(state, now, id, &before))
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

/// Ends all periods now, bills their usage, and starts new ones anchored at this moment.
pub fn close_periods(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let row = state.subscriptions.find_mut(id)?;
    for item in &mut row.items {
        item.period.end = now;
    }
    row.anchor = now;
    row.trial = row.trial.map(|trial| Period { end: trial.end.min(now), ..trial });
    turn(state, now, id, now)
}

/// Makes an invoice for a subscription, unless there is nothing to bill. `between` runs after the
/// subscription names its invoice and before the invoice's own events.
pub fn attach_invoice(
    state: &mut State,
    now: i64,
    id: &str,
    bills: &[(Item, Bill)],
    reason: Reason,
    pays: bool,
    between: impl FnOnce(&mut State),
) -> Result<(), ApiError> {
    if bills.is_empty() {
        between(state);
        return Ok(());
    }
    let invoice = invoices::issue(state, now, id, bills, reason, pays)?;
    state.subscriptions.find_mut(id)?.latest_invoice = Some(invoice.clone());
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
