//! Repairs: rows that bring to Stripe what it turned out not to hold.
//!
//! A repair lies in the very minute whose usage is missing, so that every comparison over whole minutes, however its
//! bounds are chosen, finds both or neither. It is made in the transaction that finds the minute as it was compared:
//! of two that see the same gap the second finds the first one's row, and gives up.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::comparison::{Account, Holdings, holdings};
use super::rows::{Due, claim, next_sequence};
use crate::domain::period::Period;
use crate::store::{Result, Store, audit};

/// Units missing at Stripe in one minute.
#[derive(Clone, Debug)]
pub struct Repair {
    pub account: Account,
    pub minute: Period,
    /// What the minute held when it was compared.
    pub seen: Holdings,
    pub units: i64,
    /// Begins the identifier: the ledger's id.
    pub identifier_prefix: String,
}

/// What has become of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepairState {
    Pending,
    Delivered,
    Dead { reason: String },
}

/// A repair and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRow {
    pub identifier: String,
    pub units: i64,
    pub state: RepairState,
}

impl Store {
    /// Makes the row, unless anything has changed in its minute since it was compared. Answers its number.
    pub async fn repair(&self, repair: Repair, now: i64) -> Result<Option<i64>> {
        self.write(move |db| insert(db, &repair, now)).await
    }

    /// Repairs that are due, marked as tried: for a command that sends them itself.
    pub async fn claim_repairs(&self, now: i64, limit: u32) -> Result<Due> {
        self.write(move |db| claim(db, "AND kind = 'repair'", now, limit)).await
    }

    /// What has become of a repair.
    pub async fn repair_row(&self, sequence: i64) -> Result<RepairRow> {
        self.read(move |db| {
            let found = db
                .prepare_cached(
                    "SELECT state, coalesce(reason, ''), value, identifier FROM outbox WHERE sequence = ?1",
                )?
                .query_row([sequence], |row| {
                    Ok(RepairRow { state: read_state(row)?, units: row.get(2)?, identifier: row.get(3)? })
                })?;
            Ok(found)
        })
        .await
    }

    /// The repairs of an account that have no answer yet.
    pub async fn pending_repairs(&self, account: Account, span: Period) -> Result<Vec<i64>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT sequence FROM outbox
                 WHERE stripe_customer = ?1 AND event_name = ?2 AND timestamp >= ?3 AND timestamp < ?4
                   AND kind = 'repair' AND state = 'pending' ORDER BY sequence",
            )?;
            let Account { stripe_customer, event_name } = &account;
            let bounds = params![stripe_customer, event_name, span.start, span.end];
            let rows = query.query_map(bounds, |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<RepairState> {
    let state: String = row.get(0)?;
    Ok(match state.as_str() {
        "delivered" => RepairState::Delivered,
        "dead" => RepairState::Dead { reason: row.get(1)? },
        _ => RepairState::Pending,
    })
}

fn insert(db: &Connection, repair: &Repair, now: i64) -> Result<Option<i64>> {
    let Repair { account, minute, seen, units, identifier_prefix } = repair;
    let found = holdings(db, account, *minute)?;
    if found != *seen || found.pending > 0 {
        return Ok(None);
    }
    let sequence = next_sequence(db)?;
    // It follows the minute's last usage: of that customer, in that billing period, at that instant.
    let customer: Option<u32> = db
        .prepare_cached(
            "INSERT INTO outbox (sequence, identifier, kind, customer, meter, period_start, stripe_customer,
                                 event_name, value, timestamp, sealed_at, next_try_at)
             SELECT ?1, ?2, 'repair', customer, meter, period_start, stripe_customer, event_name, ?3, timestamp,
                    ?4, ?4
             FROM outbox WHERE stripe_customer = ?5 AND event_name = ?6 AND timestamp >= ?7 AND timestamp < ?8
                           AND kind = 'usage'
             ORDER BY timestamp DESC, sequence DESC LIMIT 1
             RETURNING customer",
        )?
        .query_row(
            params![
                sequence,
                format!("{identifier_prefix}-repair-{sequence}"),
                units,
                now,
                account.stripe_customer,
                account.event_name,
                minute.start,
                minute.end
            ],
            |row| row.get(0),
        )
        .optional()?;
    if customer.is_some() {
        let Account { stripe_customer, event_name } = account;
        let detail = format!(
            "{units} {} of {event_name} missing at {stripe_customer} in the minute {}",
            if *units == 1 { "unit" } else { "units" },
            crate::domain::period::rfc3339(minute.start)
        );
        audit::add(db, now, "usage_repaired", customer, &detail)?;
    }
    Ok(customer.map(|_| sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Outcome;

    const NOW: i64 = 1_800_000_000;
    const MINUTE: Period = Period { start: NOW - 7_200, end: NOW - 7_140 };

    /// Usage of 5 units that Stripe has accepted.
    const ROW: &str = "
        INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name, value, timestamp,
                            state, sealed_at, next_try_at, settled_at)
        VALUES ('tg-1', 7, 1, 0, 'cus_1', 'api_calls', 5, 1800000000 - 7170, 'delivered', 0, 0, 0)";

    async fn change(store: &Store, change: &'static str) {
        store.write(move |db| Ok(db.execute_batch(change)?)).await.expect("changes");
    }

    #[tokio::test]
    async fn of_two_that_see_one_gap_only_the_first_repairs_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        change(&store, ROW).await;
        let account = Account { stripe_customer: "cus_1".into(), event_name: "api_calls".into() };
        let seen = store.holdings(account.clone(), MINUTE).await.expect("reads");
        let repair = || Repair {
            account: account.clone(),
            minute: MINUTE,
            seen,
            units: 5,
            identifier_prefix: "tg-x".into(),
        };
        let row = store.repair(repair(), NOW).await.expect("repairs").expect("the minute is as it was");
        assert_eq!(store.repair(repair(), NOW).await.expect("asks"), None, "while the first is under way");
        let pending = |span| store.pending_repairs(account.clone(), span);
        assert_eq!(pending(MINUTE).await.expect("reads"), [row]);
        let later = Period { start: MINUTE.end, end: NOW };
        assert!(pending(later).await.expect("reads").is_empty());
        let due = store.claim_repairs(NOW, 9).await.expect("claims");
        assert_eq!((due.len(), due[0].value, due[0].timestamp), (1, 5, NOW - 7_170));
        assert_eq!(due[0].identifier, format!("tg-x-repair-{row}"));
        let accepted = Outcome::Delivered { answer: "accepted".into() };
        store.settle_tries(vec![(row, accepted)], NOW).await.expect("settles");
        assert_eq!(store.repair(repair(), NOW).await.expect("asks"), None, "once it has arrived");
        let found = store.repair_row(row).await.expect("reads");
        let identifier = format!("tg-x-repair-{row}");
        assert_eq!(found, RepairRow { identifier, units: 5, state: RepairState::Delivered });
    }

    #[tokio::test]
    async fn a_minute_that_has_changed_since_it_was_compared_is_not_repaired() {
        for changed in [
            "UPDATE outbox SET state = 'dead'",
            "UPDATE outbox SET state = 'pending'",
            "UPDATE outbox SET settled_at = 1",
            "DELETE FROM outbox",
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Store::open(folder.path()).expect("opens");
            change(&store, ROW).await;
            let account = Account { stripe_customer: "cus_1".into(), event_name: "api_calls".into() };
            let seen = store.holdings(account.clone(), MINUTE).await.expect("reads");
            change(&store, changed).await;
            let repair = Repair { account, minute: MINUTE, seen, units: 5, identifier_prefix: "tg-x".into() };
            assert_eq!(store.repair(repair, NOW).await.expect("asks"), None, "{changed}");
        }
    }
}
