//! The history of credits, over a real file.

use super::tests::{NOW, Temporary};
use super::*;
use crate::domain::credits::Lot;

const CUSTOMER: u32 = 7;

fn grant(units: u64, expires_at: Option<i64>, cause: &str) -> CreditGrant {
    let act = CreditAct { cause: cause.into(), reason: "a gift".into(), actor: "operator" };
    CreditGrant { customer: CUSTOMER, units, expires_at, act }
}

/// The batch that begins where the last one ended, with what it spends and returns of grants.
fn fold(store: &Store, used: &[(i64, i64, i64)], second: i64) {
    let from = store.folded().expect("reads");
    let (segment, offset, next_record) = (1, from.1 + 1, from.2 + 1);
    let mut batch = Batch { from: (from.0, from.1), segment, offset, next_record, ..Batch::default() };
    for (grant, spent, returned) in used {
        let used = CreditUse { spent: *spent, returned: *returned, last_at_micros: second * 1_000_000 };
        batch.credits.insert(CreditKey { customer: CUSTOMER, grant: *grant }, used);
    }
    store.fold(batch).expect("folds");
}

/// Kind, units and balance of each row, the first first. The balance after each is the sum of all up to it.
async fn history(store: &Store) -> Vec<(String, i64, u64)> {
    let mut rows = store.credit_history(CUSTOMER, None, 1_000).await.expect("reads");
    rows.reverse();
    let mut sum = 0;
    for row in &rows {
        sum += row.units;
        assert_eq!(row.balance.cast_signed(), sum, "after {row:?}");
    }
    rows.into_iter().map(|row| (row.kind, row.units, row.balance)).collect()
}

fn row(kind: &str, units: i64, balance: u64) -> (String, i64, u64) {
    (kind.to_owned(), units, balance)
}

fn left(store: &Store) -> Vec<(i64, u64)> {
    let lots = store.read_blocking(|db| credits::lots(db, CUSTOMER)).expect("reads");
    lots.iter().map(|lot| (lot.grant, lot.units)).collect()
}

async fn granted(store: &Store, units: u64, expires_at: Option<i64>, cause: &str) -> Lot {
    store.grant_credits(grant(units, expires_at, cause), NOW).await.expect("grants").expect("new")
}

#[tokio::test]
async fn a_cause_grants_once_and_leaves_one_audit_row() {
    let store = Temporary::new();
    let first = granted(&store, 10, None, "payment:pi_1").await;
    let again = store.grant_credits(grant(99, None, "payment:pi_1"), NOW + 5).await.expect("asks");
    assert_eq!(again, None);
    let store = store.reopened();
    assert_eq!(store.grant_credits(grant(10, None, "payment:pi_1"), NOW).await.expect("asks"), None);
    assert_eq!(history(&store).await, [row("granted", 10, 10)]);
    assert_eq!(left(&store), [(first.grant, 10)]);
    granted(&store, 5, None, "payment:pi_2").await;
    let audit = store.audit_rows(Some(CUSTOMER), None, 10).await.expect("reads");
    assert_eq!(audit.len(), 2);
    assert_eq!(
        (&*audit[0].action, &*audit[0].actor, &*audit[0].detail),
        ("credits_granted", "operator", "a gift")
    );
    assert_eq!((audit[0].before.as_deref(), audit[0].after.as_deref()), (Some("10"), Some("15")));
}

#[tokio::test]
async fn the_balance_after_each_row_is_the_sum_of_what_is_left_of_the_grants() {
    let store = Temporary::new();
    let (a, b) = (granted(&store, 10, None, "a").await, granted(&store, 4, Some(NOW + 9), "b").await);
    fold(&store, &[(b.grant, 4, 0), (a.grant, 3, 0)], NOW + 1);
    let act = CreditAct { cause: "c".into(), reason: "a mistake".into(), actor: "operator" };
    store.take_credits(CUSTOMER, vec![Lot { units: 2, ..a }], act, NOW + 2).await.expect("takes");
    fold(&store, &[(b.grant, 0, 1), (a.grant, 1, 0)], NOW + 3);
    let expected = [
        row("granted", 10, 10),
        row("granted", 4, 14),
        row("spent", -7, 7),
        row("taken", -2, 5),
        row("returned", 1, 6),
        row("spent", -1, 5),
    ];
    assert_eq!(history(&store).await, expected);
    assert_eq!(left(&store), [(a.grant, 4), (b.grant, 1)]);
    let audit = &store.audit_rows(None, None, 1).await.expect("reads")[0];
    assert_eq!(
        (&*audit.action, audit.before.as_deref(), audit.after.as_deref()),
        ("credits_taken", Some("7"), Some("5"))
    );
}

#[tokio::test]
async fn what_an_hour_spends_is_one_row_until_something_else_happens() {
    let store = Temporary::new();
    let hour = NOW - NOW % 3_600;
    let lot = granted(&store, 100, None, "a").await;
    for second in [hour, hour + 1, hour + 3_599, hour + 3_600] {
        fold(&store, &[(lot.grant, 1, 0)], second);
    }
    granted(&store, 1, None, "b").await;
    fold(&store, &[(lot.grant, 2, 0)], hour + 3_601);
    let expected = [
        row("granted", 100, 100),
        row("spent", -3, 97),
        row("spent", -1, 96),
        row("granted", 1, 97),
        row("spent", -2, 95),
    ];
    assert_eq!(history(&store).await, expected);
}

#[tokio::test]
async fn a_spend_that_is_folded_before_the_correction_it_lives_on_makes_no_balance_negative() {
    let store = Temporary::new();
    let lot = granted(&store, 5, None, "a").await;
    fold(&store, &[(lot.grant, 5, 0)], NOW);
    fold(&store, &[(lot.grant, 2, 0)], NOW + 1);
    assert_eq!(history(&store).await, [row("granted", 5, 5), row("spent", -5, 0)]);
    fold(&store, &[(lot.grant, 0, 3)], NOW + 1);
    let expected = [row("granted", 5, 5), row("spent", -5, 0), row("returned", 3, 3), row("spent", -2, 1)];
    assert_eq!(history(&store).await, expected);
    assert_eq!(left(&store), [(lot.grant, 1)]);
}

#[tokio::test]
async fn what_was_spent_without_being_there_comes_off_what_is() {
    let store = Temporary::new();
    let lot = granted(&store, 5, None, "a").await;
    fold(&store, &[(lot.grant, 5, 0), (0, 3, 0)], NOW);
    assert_eq!(left(&store), []);
    granted(&store, 10, None, "b").await;
    assert_eq!(left(&store).iter().map(|(_, units)| units).sum::<u64>(), 7);
    let last = store.credit_history(CUSTOMER, None, 1).await.expect("reads")[0].balance;
    assert_eq!(last, 7);
}

#[tokio::test]
async fn an_expired_grant_is_closed_behind_the_fold_and_again_when_something_comes_back() {
    let store = Temporary::new();
    let lot = granted(&store, 5, Some(NOW + 10), "a").await;
    granted(&store, 2, None, "b").await;
    fold(&store, &[(lot.grant, 3, 0)], NOW + 9);
    let reached = store.folded().expect("reads").2;
    assert_eq!(
        store.expire_credits(NOW + 10, reached, NOW + 99).await.expect("looks"),
        (0, false),
        "not yet"
    );
    let behind = store.expire_credits(NOW + 11, reached + 1, NOW + 99).await.expect("looks");
    assert_eq!(behind, (0, false), "a record that spends it may not have been folded");
    assert_eq!(store.expire_credits(NOW + 11, reached, NOW + 99).await.expect("closes"), (2, false));
    assert_eq!(store.expire_credits(NOW + 11, reached, NOW + 99).await.expect("looks"), (0, false), "once");
    fold(&store, &[(lot.grant, 0, 1)], NOW + 100);
    assert_eq!(store.expire_credits(NOW + 11, reached, NOW + 101).await.expect("closes"), (1, false));
    let rows = history(&store).await;
    let end = [row("expired", -2, 2), row("returned", 1, 3), row("expired", -1, 2)];
    assert_eq!(rows[3..], end);
}

#[tokio::test]
async fn a_load_knows_the_grants_of_those_who_have_any() {
    let store = Temporary::new();
    let number = store.customer("acme".into(), None, NOW).await.expect("a customer").number;
    let wanted = || Wanted {
        name: "acme".into(),
        claimed: None,
        keys_after: 0,
        most_members: 0,
        most_keys: 0,
        with_grants: false,
    };
    let period = crate::domain::period::Period { start: 0, end: 1 };
    let lots = async || store.load(wanted(), NOW, move |_, _| ((), period)).await.expect("loads").lots;
    assert_eq!(lots().await, []);
    let grant = CreditGrant { customer: number, ..grant(3, Some(NOW + 9), "a") };
    let lot = store.grant_credits(grant, NOW).await.expect("grants").expect("new");
    assert_eq!(lots().await, [lot]);
    let act = CreditAct { cause: "b".into(), reason: "r".into(), actor: "operator" };
    store.take_credits(number, vec![lot], act, NOW).await.expect("takes");
    assert_eq!(lots().await, []);
}

#[tokio::test]
async fn the_history_does_not_change() {
    let store = Temporary::new();
    let lot = granted(&store, 5, None, "a").await;
    fold(&store, &[(lot.grant, 1, 0)], NOW);
    fold(&store, &[(lot.grant, 0, 1)], NOW);
    for change in [
        "units = 9, balance = 9 WHERE kind = 'granted'",
        "expires_at = 9 WHERE kind = 'granted'",
        "units = -9 WHERE kind = 'spent'",
        "kind = 'spent' WHERE kind = 'returned'",
        "customer = 8 WHERE kind = 'spent'",
    ] {
        let changed =
            store.write(move |db| Ok(db.execute(&format!("UPDATE credits SET {change}"), [])?)).await;
        assert!(changed.is_err(), "{change}");
    }
}

#[tokio::test]
async fn the_tables_of_version_3_keep_their_rows_and_have_no_credits() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Connection::open(folder.path().join("tollgate.db")).expect("opens");
    for migration in &MIGRATIONS[..3] {
        db.execute_batch(migration).expect("migrates");
    }
    db.execute_batch(
        "PRAGMA user_version = 3;
         INSERT INTO customers (name, first_seen, stripe_customer) VALUES ('acme', 5, 'cus_1');
         INSERT INTO audit (at, action, customer, detail) VALUES (5, 'customer_linked', 1, 'then');
         INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable,
                             first_at_micros, last_at_micros, sealable) VALUES (1, 1, 0, 9, 7, 0, 2, 9, 1, 2, 1);",
    )
    .expect("rows");
    drop(db);
    let store = Store::open(folder.path()).expect("migrates");
    let wanted = Wanted {
        name: "acme".into(),
        claimed: None,
        keys_after: 0,
        most_members: 0,
        most_keys: 0,
        with_grants: false,
    };
    let period = crate::domain::period::Period { start: 0, end: 9 };
    let loaded = store.load(wanted, NOW, move |_, _| ((), period)).await.expect("loads");
    assert_eq!((loaded.customer.number, loaded.customer.stripe_customer.as_deref()), (1, Some("cus_1")));
    assert_eq!(loaded.totals, [Total { meter: 1, used: 9, extra: 0, credits: 0, uncovered: 0 }]);
    assert_eq!(loaded.lots, []);
    let audit = &store.audit_rows(None, None, 1).await.expect("reads")[0];
    assert_eq!((&*audit.detail, &*audit.actor, audit.before.as_deref()), ("then", "tollgate", None));
}
