//! Ending a subscription.

use serde_json::Value;

use super::{Item, Status, json, renewal, reschedule};
use crate::sandbox::collection;
use crate::sandbox::error::ApiError;
use crate::sandbox::events;
use crate::sandbox::invoices::{Bill, Collect, Reason};
use crate::sandbox::known;
use crate::sandbox::state::{Call, State};

/// `DELETE /v1/subscriptions/:id`; usage of the running period is billed only with `invoice_now`.
pub fn cancel(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    call.params.only(known::SUBSCRIPTION_CANCEL)?;
    let subscription = state.subscriptions.find(call.id)?;
    if subscription.status.ended() {
        return Err(ApiError::not_found("subscription", call.id));
    }
    if call.params.boolean("invoice_now")? == Some(true) {
        let metered = subscription.items.iter().filter(|item| item.quantity.is_none());
        let bills: Vec<(Item, Bill)> = metered.map(|item| (item.clone(), Bill::Usage(item.period))).collect();
        renewal::attach_invoice(state, call.now, call.id, &bills, Reason::Update, Collect::Now, |_| ())?;
    }
    end_now(state, call.now, call.id)?;
    Ok(json(state, state.subscriptions.find(call.id)?))
}

/// Ends a subscription and says so.
pub fn end_now(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find_mut(id)?;
    subscription.status = Status::Canceled;
    subscription.canceled_at.get_or_insert(now);
    subscription.ended_at = Some(now);
    let customer = subscription.customer.clone();
    collection::stop(state, &customer, id);
    reschedule(state, id);
    let object = json(state, state.subscriptions.find(id)?);
    events::emit(state, now, "customer.subscription.deleted", object);
    Ok(())
}

/// Ends whatever a customer still has.
pub fn cancel_all(state: &mut State, now: i64, customer: &str) -> Result<(), ApiError> {
    let running = state.subscriptions.owned_by(customer).filter(|row| !row.status.ended());
    let ids: Vec<String> = running.map(|row| row.id.clone()).collect();
    ids.iter().try_for_each(|id| end_now(state, now, id))
}
