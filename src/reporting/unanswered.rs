//! Meter events that have been without an answer for over 23 hours.
//!
//! Stripe may have forgotten their identifiers: sending one again could bill it twice, and giving it up could lose
//! it. So Stripe's sum for the event's minute is compared with what it has accepted of that minute. It tells that
//! all that is unanswered there arrived, or that nothing did; anything else is for a person. The sum is believed
//! once Stripe has had `reconcile_settle` to add up whatever may have arrived, and has said the same twice.

use crate::store::{
    Account, FOUND_IN_SUM, Holdings, OutboxRow, Outcome, RESEND_WITHIN_SECONDS, Reading, Unanswered,
};

use super::books::{Books, Told};
use super::span::minute_of;
use super::stripe_sums::StripeSums;

/// Between two readings of one sum.
pub(super) const BETWEEN_READINGS_SECONDS: i64 = 60;
/// Until Stripe, our store or a younger row may be further.
pub(super) const LATER_SECONDS: i64 = 30;
/// In a fleet that is not whole: until it is a person's, and between two looks.
const GIVE_UP_SECONDS: i64 = 3 * 86_400;
const BETWEEN_LOOKS_SECONDS: i64 = 3_600;

pub(super) struct Comparer {
    /// Stripe's sums hold what other nodes have sent, too.
    pub books: Books,
    pub sums: StripeSums,
    pub settle_seconds: i64,
}

impl Comparer {
    /// What is to be done with a row that must not be sent again unseen.
    pub async fn look(&self, row: &OutboxRow, now: i64) -> Outcome {
        let outcome = if row.restored {
            self.look_for_restored(row, now).await
        } else {
            self.try_to_look(row, now).await
        };
        match outcome {
            Ok(outcome) => outcome,
            Err(reason) => {
                tracing::warn!(
                    identifier = row.identifier,
                    reason,
                    "a meter event could not be compared yet"
                );
                wait(now + LATER_SECONDS, reason)
            }
        }
    }

    async fn try_to_look(&self, row: &OutboxRow, now: i64) -> Result<Outcome, String> {
        let minute = minute_of(row.timestamp);
        let account =
            Account { stripe_customer: row.stripe_customer.clone(), event_name: row.event_name.clone() };
        let tried_before = now - RESEND_WITHIN_SECONDS;
        let found = self.books.unanswered(&account, minute, tried_before).await;
        let Told { told: (held, waiting), missing } = found.map_err(|error| error.to_string())?;
        let alone = self.is_one_of_a_fleet().await?;
        if alone || !missing.is_empty() || held.taken > 0 {
            return Ok(left_to_a_person(row, alone, now));
        }
        if let Some(at) = not_before(row, &held, &waiting, self.settle_seconds, now) {
            return Ok(wait(at, "unanswered for over 23 h: compared with Stripe's sum later".into()));
        }
        let units = self.sums.units(&account, minute).await.map_err(|error| error.to_string())?;
        let outcome = decide(row, &held, &waiting, Reading { units, at: now });
        tracing::warn!(identifier = row.identifier, stripe = units, ?outcome, "an unanswered meter event");
        Ok(outcome)
    }

    /// Whether Stripe's sums may hold what other nodes have sent, of whom none can be asked.
    pub(super) async fn is_one_of_a_fleet(&self) -> Result<bool, String> {
        self.books.is_one_of_a_fleet().await.map_err(|error| error.to_string())
    }
}

/// Stripe's sum holds other nodes' usage too, and not all of them have told theirs; or some of it was taken over of a
/// lost node: the answer may still come from there, unless this node is alone.
pub(super) fn left_to_a_person(row: &OutboxRow, alone: bool, now: i64) -> Outcome {
    let what = if row.restored { "restored from a backup" } else { "unanswered for over 23 h" };
    let reason = format!("{what}, and not all nodes have told what Stripe's sum holds of theirs");
    if alone || row.first_tried_at.is_some_and(|first| first < now - GIVE_UP_SECONDS) {
        return Outcome::Dead { refused: false, reason };
    }
    wait(now + BETWEEN_LOOKS_SECONDS, reason)
}

pub(super) fn wait(at: i64, reason: String) -> Outcome {
    Outcome::Retry { at, answered: false, never_arrived: None, reason }
}

/// When the sum can be read, if that is not now: Stripe has had its time since the last try, since the minute's end,
/// and since it last accepted something of this minute; nothing of it is still being sent; the last reading is a
/// minute old.
fn not_before(
    row: &OutboxRow,
    held: &Holdings,
    waiting: &Unanswered,
    settle_seconds: i64,
    now: i64,
) -> Option<i64> {
    let tried = row.last_tried_at.or(row.first_tried_at);
    let last = [tried, held.accepted_at].into_iter().flatten().fold(minute_of(row.timestamp).end, i64::max);
    let read = row.compared.map_or(now, |reading| reading.at + BETWEEN_READINGS_SECONDS);
    let young = if waiting.young_rows > 0 { now + LATER_SECONDS } else { now };
    let at = (last + settle_seconds).max(read).max(young);
    (at > now).then_some(at)
}

/// What Stripe's sum says, once it has been read twice the same.
fn decide(row: &OutboxRow, held: &Holdings, waiting: &Unanswered, reading: Reading) -> Outcome {
    if row.compared.is_none_or(|first| first.units != reading.units) {
        let reason = format!("unanswered for over 23 h: Stripe's sum is {}, read again", reading.units);
        return Outcome::Compared { reading, at: reading.at + BETWEEN_READINGS_SECONDS, reason };
    }
    let (stripe, known, old) = (reading.units, held.held, waiting.old);
    if stripe == known {
        return Outcome::Resend {
            reason: format!("not among the {stripe} units of Stripe's sum: sent again"),
        };
    }
    // What Stripe refused may yet be what makes the difference.
    if stripe == known + old && held.dead == 0 {
        return Outcome::Delivered { answer: FOUND_IN_SUM.into() };
    }
    let dead = if held.dead > 0 { format!(", {} are dead", held.dead) } else { String::new() };
    Outcome::Dead {
        refused: false,
        reason: format!(
            "unanswered for over 23 h, and Stripe's sum of its minute does not tell whether it arrived: Stripe \
             holds {stripe} units, of which {known} are known to be accepted; {old} wait for an answer{dead}"
        ),
    }
}

#[cfg(test)]
#[path = "unanswered_tests.rs"]
mod tests;
