//! What is settled goes after its time, each kind after its own; what still waits stays.

use super::super::tests::{NOW, Temporary, batch, delivered, linked, plan};
use super::super::{NewEvent, OverrideRow, Stored};
use super::*;

const NEVER: Cutoffs = Cutoffs { receipts: 0, webhooks: 0, financial: 0, logs: 0 };

/// Rows of a table, by one of its columns.
async fn left(store: &Store, table: &'static str, column: &'static str) -> Vec<String> {
    let rows = store.read(move |db| {
        let mut query = db.prepare(&format!("SELECT CAST({column} AS TEXT) FROM {table} ORDER BY 1"))?;
        let rows = query.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
    });
    rows.await.expect("reads")
}

fn ignored() -> NewEvent {
    NewEvent { id: "evt_1".into(), kind: "else".into(), created: NOW, ..NewEvent::default() }
}

#[tokio::test]
async fn what_was_settled_long_ago_is_removed() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    store.seal(plan()).await.expect("seals");
    let row = store.claim_due(NOW, 1).await.expect("claims")[0].sequence;
    store.receive(ignored(), NOW).await.expect("stores");
    let all = Cutoffs { receipts: NOW + 1, webhooks: NOW + 1, financial: NOW + 1, logs: NOW + 1 };
    store.prune_settled(all).await.expect("prunes");
    assert_eq!(store.outbox_counts().await.expect("counts").pending, 1, "unsettled rows stay");
    let again = || store.receive(ignored(), NOW);
    assert_eq!(again().await.expect("stores"), Stored::New, "an ignored event has gone");
    store.settle_tries(vec![(row, delivered())], NOW).await.expect("settles");
    store.prune_settled(all).await.expect("prunes");
    assert_eq!(left(&store, "outbox", "sequence").await, [""; 0], "nothing is left to remove");
}

/// Two of each kind: one of 10, one of 20; and those that still wait for somebody.
const ROWS: &str = "
    INSERT INTO inbox (event_id, type, created, received_at, facts, state, settled_at)
    VALUES ('old', 't', 1, 10, '{}', 'done', 10), ('new', 't', 1, 20, '{}', 'done', 20),
           ('old_failed', 't', 1, 10, '{}', 'failed', 10), ('waits', 't', 1, 10, '{}', 'pending', NULL);
    INSERT INTO payments (id, kind, outcome, amount_minor, currency, at)
    VALUES ('old', 'invoice', 'succeeded', 1, 'usd', 10), ('new', 'invoice', 'succeeded', 1, 'usd', 20);
    INSERT INTO credits (customer, at, kind, units, balance)
    VALUES (1, 10, 'granted', 5, 5), (1, 20, 'spent', -2, 3), (2, 10, 'granted', 7, 7);
    INSERT INTO state_changes (at, customer, from_status, to_status)
    VALUES (10, 1, 'a', 'b'), (20, 1, 'b', 'c'), (10, 2, 'a', 'b');
    INSERT INTO audit (at, action, detail) VALUES (10, 'old', ''), (20, 'new', '');
    INSERT INTO checkouts (session, customer, kind, what, request, state, at, expires_at)
    VALUES ('old', 1, 'tier', 'pro', x'00', 'completed', 10, 10),
           ('new', 1, 'tier', 'pro', x'00', 'expired', 20, 20),
           ('open', 1, 'tier', 'pro', x'00', 'open', 10, 10);";

#[tokio::test]
async fn each_kind_goes_after_its_own_time_and_what_waits_stays() {
    let store = Temporary::new();
    store.write(|db| Ok(db.execute_batch(ROWS)?)).await.expect("rows");
    let shown = async || {
        let mut shown = Vec::new();
        for (table, column) in [
            ("inbox", "event_id"),
            ("payments", "id"),
            ("credits", "customer || ':' || balance"),
            ("state_changes", "customer || ':' || to_status"),
            ("audit", "action"),
            ("checkouts", "session"),
        ] {
            shown.push(left(&store, table, column).await.join(" "));
        }
        shown
    };
    let mut expected =
        ["new old old_failed waits", "new old", "1:3 1:5 2:7", "1:b 1:c 2:b", "new old", "new old open"];
    store.prune_settled(NEVER).await.expect("prunes");
    assert_eq!(shown().await, expected);
    store.prune_settled(Cutoffs { webhooks: 15, ..NEVER }).await.expect("prunes");
    expected[0] = "new waits";
    assert_eq!(shown().await, expected);
    store.prune_settled(Cutoffs { financial: 15, ..NEVER }).await.expect("prunes");
    // The last rows of a customer say what they have.
    expected[1..5].copy_from_slice(&["new", "1:3 2:7", "1:c 2:b", "new"]);
    assert_eq!(shown().await, expected);
    store.prune_settled(Cutoffs { logs: 15, ..NEVER }).await.expect("prunes");
    expected[5] = "new open";
    assert_eq!(shown().await, expected);
}

#[tokio::test]
async fn an_override_is_taken_back_at_its_end_and_one_that_was_set_anew_stays() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    let until =
        |until| OverrideRow { tier: Some("pro".into()), until, reason: "x".into(), ..OverrideRow::default() };
    store.set_override(customer, Some(until(Some(NOW))), "operator", NOW - 9).await.expect("sets");
    assert_eq!(store.ended_overrides(NOW - 1, 9).await.expect("reads"), []);
    let ended = store.ended_overrides(NOW, 9).await.expect("reads");
    assert_eq!(ended.iter().map(|row| row.number).collect::<Vec<_>>(), [customer]);
    store.set_override(customer, Some(until(Some(NOW + 9))), "operator", NOW).await.expect("sets");
    store.end_override(customer, NOW).await.expect("ends");
    assert!(store.adjustments(customer).await.expect("reads").overridden.is_some());
    store.end_override(customer, NOW + 9).await.expect("ends");
    assert_eq!(store.adjustments(customer).await.expect("reads").overridden, None);
    let trail = store.audit_rows(Some(customer), None, 1).await.expect("reads");
    assert_eq!((trail[0].action.as_str(), trail[0].actor.as_str()), ("override_ended", "tollgate"));
}
