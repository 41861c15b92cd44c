//! What comes upon a subscription by itself, other than a new period.

use super::force::force_status;
use super::{Status, json};
use crate::sandbox::alarms::Alarm;
use crate::sandbox::collection;
use crate::sandbox::error::ApiError;
use crate::sandbox::events;
use crate::sandbox::state::State;

/// How long before a trial's end its customer is told.
const TRIAL_NOTICE: i64 = 3 * 86_400;
/// How long a first invoice may stay unpaid.
const FIRST_PAYMENT: i64 = 23 * 3_600;

/// Tells of a trial that ends within three days, or plans to.
pub fn plan_trial_notice(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let Some(trial) = state.subscriptions.find(id)?.trial else {
        return Ok(());
    };
    let at = trial.end - TRIAL_NOTICE;
    if at <= now {
        return tell_of_trial(state, now, id, trial.end);
    }
    state.alarms.insert((at, Alarm::TrialWillEnd(id.to_owned(), trial.end)));
    Ok(())
}

/// Tells that a trial will end, if it still does then.
pub fn tell_of_trial(state: &mut State, now: i64, id: &str, end: i64) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find(id)?;
    let ends = subscription.trial.is_some_and(|trial| trial.end == end);
    if subscription.status == Status::Trialing && ends {
        let object = json(state, subscription);
        events::emit(state, now, "customer.subscription.trial_will_end", object);
    }
    Ok(())
}

/// Plans the end of a subscription whose first invoice is not paid.
pub fn plan_first_payment(state: &mut State, now: i64, id: &str) {
    if state.subscriptions.get(id).is_some_and(|row| row.status == Status::Incomplete) {
        state.alarms.insert((now + FIRST_PAYMENT, Alarm::FirstPaymentLate(id.to_owned())));
    }
}

/// Ends a subscription whose first invoice nobody paid.
pub fn expire_incomplete(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let subscription = state.subscriptions.find(id)?;
    if subscription.status != Status::Incomplete {
        return Ok(());
    }
    if let Some(invoice) = subscription.latest_invoice.clone() {
        collection::void(state, &invoice);
    }
    force_status(state, now, id, Status::IncompleteExpired)
}
