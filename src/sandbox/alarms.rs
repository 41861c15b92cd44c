//! Time passes: what happens by itself at a moment, in the order of the moments.
//!
//! Periods that end stand in [`State::edges`], one for each subscription. Everything else is an alarm. An alarm
//! is never taken back: when it rings it looks whether it is still meant.

use super::error::ApiError;
use super::state::State;
use super::{checkout, collection, invoices, subscriptions};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A checkout session that nobody paid expires.
    SessionExpires(String),
    /// A subscription's trial is near its end, which is at this moment.
    TrialWillEnd(String, i64),
    /// Nobody paid the first invoice of a subscription in time.
    FirstPaymentLate(String),
    /// The payment of an invoice is tried again.
    PaymentRetry(String),
    /// The next invoice of a subscription is near; its period ends at this moment.
    InvoiceUpcoming(String, i64),
}

/// Lets everything happen that is due by `now`.
pub fn pass(state: &mut State, now: i64) {
    loop {
        let edge = state.edges.first().map(|(at, _)| *at).filter(|at| *at <= now);
        let alarm = state.alarms.first().map(|(at, _)| *at).filter(|at| *at <= now);
        match (edge, alarm) {
            (None, None) => return,
            (Some(edge), Some(alarm)) if alarm <= edge => ring(state, now),
            (None, Some(_)) => ring(state, now),
            (Some(_), _) => subscriptions::turn_first(state, now),
        }
    }
}

fn ring(state: &mut State, now: i64) {
    let Some((at, alarm)) = state.alarms.pop_first() else {
        return;
    };
    if let Err(error) = act(state, now, at, &alarm) {
        tracing::warn!(?alarm, %error, "the sandbox could not do what was due");
    }
}

fn act(state: &mut State, now: i64, at: i64, alarm: &Alarm) -> Result<(), ApiError> {
    match alarm {
        Alarm::SessionExpires(id) => checkout::expire_if_open(state, now, id),
        Alarm::TrialWillEnd(id, end) => subscriptions::tell_of_trial(state, now, id, *end),
        Alarm::FirstPaymentLate(id) => subscriptions::expire_incomplete(state, now, id),
        Alarm::PaymentRetry(id) => collection::retry_when_due(state, now, at, id),
        Alarm::InvoiceUpcoming(id, end) => {
            let meant = state.subscriptions.get(id).is_some_and(|row| row.next_edge() == Some(*end));
            if meant { invoices::announce_upcoming(state, now, id) } else { Ok(()) }
        }
    }
}
