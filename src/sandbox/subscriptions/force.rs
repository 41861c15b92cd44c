//! States that only a hook can bring about: a status, a period, a failed payment.

use super::renewal::{announce, attach_invoice};
use super::{Item, Status, end, json, reschedule};
use crate::sandbox::error::ApiError;
use crate::sandbox::events;
use crate::sandbox::invoices::{Bill, Collect, Reason};
use crate::sandbox::period::Period;
use crate::sandbox::state::State;

/// Puts a subscription into a status, with the events that Stripe sends on the way there.
pub fn force_status(state: &mut State, now: i64, id: &str, status: Status) -> Result<(), ApiError> {
    if status == Status::Canceled {
        return end::end_now(state, now, id);
    }
    let before = json(state, state.subscriptions.find(id)?);
    let subscription = state.subscriptions.find_mut(id)?;
    let was = std::mem::replace(&mut subscription.status, status);
    subscription.ended_at = status.ended().then_some(now);
    reschedule(state, id);
    announce(state, now, id, &before);
    let kind = match (was, status) {
        (Status::Paused, Status::Paused) => return Ok(()),
        (_, Status::Paused) => "customer.subscription.paused",
        (Status::Paused, _) => "customer.subscription.resumed",
        _ => return Ok(()),
    };
    let object = json(state, state.subscriptions.find(id)?);
    events::emit(state, now, kind, object);
    Ok(())
}

/// Moves the current period of every item. The anchor stays: after `end` the periods follow it again.
pub fn force_period(state: &mut State, now: i64, id: &str, period: Period) -> Result<(), ApiError> {
    let before = json(state, state.subscriptions.find(id)?);
    let subscription = state.subscriptions.find_mut(id)?;
    for item in &mut subscription.items {
        item.period = period;
    }
    reschedule(state, id);
    announce(state, now, id, &before);
    Ok(())
}

/// Fails the payment of the running period's flat fees.
pub fn fail_payment(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find(id)?;
    let before = json(state, subscription);
    let licensed = subscription.items.iter().filter(|item| item.quantity.is_some());
    let bills: Vec<(Item, Bill)> = licensed.map(|item| (item.clone(), Bill::Fee(item.period))).collect();
    attach_invoice(state, now, id, &bills, Reason::Cycle, Collect::InVain, |_| ())?;
    state.subscriptions.find_mut(id)?.status = Status::PastDue;
    reschedule(state, id);
    announce(state, now, id, &before);
    Ok(())
}
