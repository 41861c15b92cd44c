//! Units that the gateway before a restore may have sent, under names that are not known here.
//!
//! They are all that was not sealed of a total when the backup was made. That gateway sealed them first, with what came
//! later behind them, and sent nothing of a total before it had an answer for what was before. A row's timestamp is
//! that of its last unit: so theirs lies between the last that the backup's store had counted and the restore. What
//! Stripe's sum of that time holds beyond what is known to be accepted is, as far as it reaches, these units: they have
//! arrived, and what it does not reach is sent. Nothing else of that total is sealed meanwhile.
//!
//! The sum is believed once Stripe has had `reconcile_settle` since the restore, and has said the same twice.

use crate::domain::period::Period;
use crate::store::{Account, FOUND_IN_SUM, Holdings, OutboxRow, Outcome, Reading};

use super::books::Told;
use super::span::{minute, next_minute};
use super::unanswered::{BETWEEN_READINGS_SECONDS, Comparer, LATER_SECONDS, left_to_a_person, wait};

impl Comparer {
    /// What is to be done with such a row.
    pub(super) async fn look_for_restored(&self, row: &OutboxRow, now: i64) -> Result<Outcome, String> {
        let sought = self.books.sought_in(row.sequence).await.map_err(|error| error.to_string())?;
        let span = Period { start: minute(sought.start), end: next_minute(sought.end) };
        let account =
            Account { stripe_customer: row.stripe_customer.clone(), event_name: row.event_name.clone() };
        let told = self.books.holdings(&account, span).await.map_err(|error| error.to_string())?;
        let Told { told: held, missing } = told;
        let alone = self.is_one_of_a_fleet().await?;
        if alone || !missing.is_empty() || held.taken > 0 {
            return Ok(left_to_a_person(row, alone, now));
        }
        let before = self.books.waits_before(account.clone(), span, row.sequence).await;
        if before.map_err(|error| error.to_string())? {
            return Ok(wait(
                now + LATER_SECONDS,
                "waits until other usage of the same time has its answer".into(),
            ));
        }
        if let Some(at) = not_before(row, &held, span, self.settle_seconds, now) {
            return Ok(wait(at, "restored from a backup: looked for in Stripe's sum first".into()));
        }
        let units = self.sums.units(&account, span).await.map_err(|error| error.to_string())?;
        let outcome = decide(row, &held, Reading { units, at: now });
        tracing::warn!(identifier = row.identifier, stripe = units, ?outcome, "restored usage");
        Ok(outcome)
    }
}

/// When the sum can be read, if that is not now.
fn not_before(row: &OutboxRow, held: &Holdings, span: Period, settle_seconds: i64, now: i64) -> Option<i64> {
    let tried = row.last_tried_at.or(row.first_tried_at);
    let last = [tried, held.accepted_at].into_iter().flatten().fold(i64::MIN, i64::max);
    let read = row.compared.map_or(now, |reading| reading.at + BETWEEN_READINGS_SECONDS);
    let at = span.end.max(last.saturating_add(settle_seconds)).max(read);
    (at > now).then_some(at)
}

/// What Stripe's sum of that time says, once it has been read twice the same.
fn decide(row: &OutboxRow, held: &Holdings, reading: Reading) -> Outcome {
    if row.compared.is_none_or(|first| first.units != reading.units) {
        let reason = format!("restored from a backup: Stripe's sum is {}, read again", reading.units);
        return Outcome::Compared { reading, at: reading.at + BETWEEN_READINGS_SECONDS, reason };
    }
    let (stripe, known) = (reading.units, held.held);
    let arrived = u64::try_from(stripe - known).unwrap_or(0);
    if arrived == 0 {
        return Outcome::Resend { reason: format!("not among the {stripe} units of Stripe's sum: sent") };
    }
    // What Stripe refused may have been sent again, and be what makes the difference.
    if held.dead > 0 {
        let reason = format!(
            "restored from a backup, and Stripe's sum of the time in which it can have been sent does not tell whether \
             it arrived: Stripe holds {stripe} units, of which {known} are known to be accepted, and {} are dead",
            held.dead
        );
        return Outcome::Dead { refused: false, reason };
    }
    if arrived >= row.value {
        return Outcome::Delivered { answer: FOUND_IN_SUM.into() };
    }
    let reason = format!("{arrived} of {} units are in Stripe's sum: the rest is sent", row.value);
    Outcome::PartArrived { units: arrived, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// 50 units, restored two hours ago, read once a minute ago.
    fn row(read: Option<i64>) -> OutboxRow {
        OutboxRow {
            sequence: 1,
            identifier: "tg-1".into(),
            stripe_customer: "cus_1".into(),
            event_name: "api_calls".into(),
            value: 50,
            timestamp: NOW - 3 * 3_600,
            tries: 1,
            answers: 0,
            first_tried_at: Some(NOW - 2 * 3_600),
            last_tried_at: Some(NOW - 2 * 3_600),
            rejected_at: None,
            compared: read.map(|units| Reading { units, at: NOW - 60 }),
            restored: true,
        }
    }

    #[test]
    fn what_stripe_holds_beyond_what_is_known_has_arrived_and_the_rest_is_sent() {
        // What was read before; accepted and dead as far as is known; what Stripe holds.
        for (read, accepted, dead, stripe, expected) in [
            (None, 100, 0, 100, "read again"),
            (Some(101), 100, 0, 100, "read again"),
            (Some(100), 100, 0, 100, "sent"),
            (Some(90), 100, 0, 90, "sent"),
            (Some(130), 100, 0, 130, "30 arrived"),
            (Some(149), 100, 0, 149, "49 arrived"),
            (Some(150), 100, 0, 150, "arrived"),
            (Some(999), 100, 0, 999, "arrived"),
            (Some(130), 100, 1, 130, "dead"),
            (Some(100), 100, 1, 100, "sent"),
        ] {
            let held = Holdings { held: accepted, dead, ..Holdings::default() };
            let decided = match decide(&row(read), &held, Reading { units: stripe, at: NOW }) {
                Outcome::Compared { .. } => "read again".to_owned(),
                Outcome::Resend { .. } => "sent".to_owned(),
                Outcome::PartArrived { units, .. } => format!("{units} arrived"),
                Outcome::Delivered { .. } => "arrived".to_owned(),
                Outcome::Dead { .. } => "dead".to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(decided, expected, "{read:?} {accepted} {dead} {stripe}");
        }
    }

    #[test]
    fn stripe_gets_its_time_since_the_restore_and_since_it_last_accepted_something_of_theirs() {
        let nothing = Holdings::default();
        let span = Period { start: NOW - 4 * 3_600, end: NOW - 2 * 3_600 };
        let not_before = |row: OutboxRow, held, settle| not_before(&row, &held, span, settle, NOW);
        assert_eq!(not_before(row(None), nothing, 3_600), None);
        assert_eq!(not_before(row(None), nothing, 7_201), Some(NOW + 1));
        let accepted = Holdings { accepted_at: Some(NOW - 60), ..nothing };
        assert_eq!(not_before(row(None), accepted, 3_600), Some(NOW + 3_540));
        let read = OutboxRow { compared: Some(Reading { units: 0, at: NOW - 59 }), ..row(None) };
        assert_eq!(not_before(read, nothing, 0), Some(NOW + 1));
        let ends_later = Period { end: NOW + 60, ..span };
        assert_eq!(super::not_before(&row(None), &nothing, ends_later, 0, NOW), Some(NOW + 60));
    }
}
