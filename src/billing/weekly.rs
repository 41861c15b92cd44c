//! The weekly report: how many subscriptions there are, and what the last week changed.

use serde_json::{Value, json};

use crate::domain::notice::NoticeKind;
use crate::domain::period::{Period, rfc3339};
use crate::store::{NewNotice, Store, StoreError, Week};

const DAY_SECONDS: i64 = 86_400;
const WEEK_SECONDS: i64 = 7 * DAY_SECONDS;

/// The name of its mark: the end of the last week that was reported.
const WORK: &str = "weekly";

/// Reports the last whole week, from Monday to Monday (UTC), once. The first report comes after the first Monday.
pub(super) async fn report(store: &Store, now: i64) -> Result<(), StoreError> {
    let week = last_week(now);
    let reported: Option<i64> = store.mark(WORK).await?;
    if reported.is_some_and(|end| end >= week.end) {
        return Ok(());
    }
    if reported.is_some() {
        let data = data(week, &store.week(week).await?);
        let cause = format!("weekly:{}", week.end);
        store.notify(NewNotice { kind: NoticeKind::WeeklyReport, customer: None, cause, data }, now).await?;
    }
    store.set_mark(WORK, Some(&week.end)).await
}

fn last_week(now: i64) -> Period {
    // The epoch began on a Thursday.
    let monday = (now + 3 * DAY_SECONDS).div_euclid(WEEK_SECONDS) * WEEK_SECONDS - 3 * DAY_SECONDS;
    Period { start: monday - WEEK_SECONDS, end: monday }
}

fn data(week: Period, sums: &Week) -> Value {
    let Week { subscriptions, tier_changes, status_changes, payments, new_customers } = sums;
    let subscriptions = subscriptions
        .iter()
        .map(|(tier, status, count)| json!({ "tier": tier, "status": status, "count": count }));
    let tier_changes =
        tier_changes.iter().map(|(from, to, count)| json!({ "from": from, "to": to, "count": count }));
    let status_changes = status_changes.iter().map(|(to, count)| json!({ "to": to, "count": count }));
    let payments = payments.iter().map(|(outcome, currency, count, minor)| {
        json!({ "outcome": outcome, "currency": currency, "count": count, "amount_minor": minor })
    });
    json!({
        "week": { "start": rfc3339(week.start), "end": rfc3339(week.end) },
        "subscriptions": subscriptions.collect::<Value>(),
        "tier_changes": tier_changes.collect::<Value>(),
        "status_changes": status_changes.collect::<Value>(),
        "payments": payments.collect::<Value>(),
        "new_customers": new_customers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday_at_midnight() {
        // 2026-11-16 was a Monday.
        let monday = 1_794_787_200;
        assert_eq!(rfc3339(monday), "2026-11-16T00:00:00Z");
        for now in [monday, monday + 1, monday + WEEK_SECONDS - 1] {
            assert_eq!(last_week(now), Period { start: monday - WEEK_SECONDS, end: monday });
        }
        assert_eq!(last_week(monday - 1).end, monday - WEEK_SECONDS);
    }
}
