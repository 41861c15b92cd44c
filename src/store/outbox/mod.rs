//! The outbox: usage on its way to Stripe.
//!
//! Unreported usage is sealed into rows (`sealing`), whose identifier, value and timestamp never change. A row is
//! marked as tried, durably, before it is sent (`rows`). What Stripe refused is kept, listed and tried again on demand
//! (`list`, `retry`); what it found wrong later comes back (`rejections`). What it turns out to hold is compared with
//! the rows (`comparison`), and what it misses is made good by rows of their own (`repairs`). In a fleet what one node
//! has not sent another one may send: what is copied for that (`fleet`), and what was taken over (`taken`).

mod comparison;
mod fleet;
#[cfg(test)]
mod fleet_tests;
mod list;
mod rejections;
mod repairs;
mod retry;
mod rows;
mod sealing;
mod taken;

pub use comparison::{Account, Holdings, MinuteHoldings, Unanswered};
pub use fleet::{FencedRow, TakenAnswer, Unsent, UnsentRow, UnsentTotal};
pub use list::{OutboxFilter, WaitingEvent};
pub use rejections::Rejection;
pub use repairs::{Repair, RepairRow, RepairState};
pub use retry::{Retried, RetryOutcome, retry_dead_in};
pub use rows::{
    ARRIVED_BEFORE, Due, FOUND_IN_SUM, NeverArrived, OutboxCounts, OutboxRow, Outcome, RESEND_WITHIN_SECONDS,
    Reading,
};
pub use sealing::{Naming, SealCursor, SealPlan, SealScope, Sealed, row_of_total};
pub use taken::{FenceRow, NewFence, TakenEvent, TakenRow};
