//! The inbox against a real file.

use super::*;
use crate::store::Cutoffs;
use crate::store::tests::{NOW, Temporary};

fn event(id: &str, means_something: bool) -> NewEvent {
    let (id, kind) = (id.into(), "invoice.paid".into());
    NewEvent { id, kind, created: NOW, means_something, ..NewEvent::default() }
}

async fn settle(store: &Store, event: &str, outcome: InboxOutcome) {
    store.settle_events(vec![(event.into(), outcome)], NOW).await.expect("settles");
}

#[tokio::test]
async fn an_event_is_kept_for_its_time_whatever_became_of_it_but_not_while_it_waits() {
    let store = Temporary::new();
    for (id, means_something) in [("ignored", false), ("done", true), ("failed", true), ("waits", true)] {
        store.receive(event(id, means_something), NOW).await.expect("stores");
    }
    settle(&store, "done", InboxOutcome::Done { effects: vec!["linked".into()] }).await;
    settle(&store, "failed", InboxOutcome::Failed { reason: "poison".into() }).await;
    for (state, id) in [("ignored", "ignored"), ("done", "done"), ("failed", "failed"), ("pending", "waits")]
    {
        let filter = EventFilter { state: Some(state), ..EventFilter::default() };
        let rows = store.events(filter, 9).await.expect("reads");
        assert_eq!(rows.iter().map(|row| &*row.event_id).collect::<Vec<_>>(), [id], "{state}");
    }
    let ids = async || {
        let rows = store.events(EventFilter::default(), 9).await.expect("reads");
        rows.into_iter().map(|row| row.event_id).collect::<Vec<_>>()
    };
    let before = |webhooks| Cutoffs { receipts: 0, webhooks, financial: 0, logs: 0 };
    store.prune_settled(before(NOW)).await.expect("prunes");
    assert_eq!(ids().await, ["waits", "ignored", "failed", "done"]);
    store.prune_settled(before(NOW + 1)).await.expect("prunes");
    assert_eq!(ids().await, ["waits"]);
}

#[tokio::test]
async fn a_failed_event_is_told_once_and_can_be_applied_again() {
    let store = Temporary::new();
    store.receive(event("evt_1", true), NOW).await.expect("stores");
    store.receive(event("evt_2", false), NOW).await.expect("stores");
    let fail = async || settle(&store, "evt_1", InboxOutcome::Failed { reason: "poison".into() }).await;
    let told = async || {
        let count = |db: &rusqlite::Connection| {
            Ok(db.query_row("SELECT count(*) FROM notices", [], |row| row.get(0))?)
        };
        store.read(count).await.expect("reads")
    };
    fail().await;
    let counts = async || store.count_events().await.expect("counts");
    let failed = EventCounts { failed: 1, ..EventCounts::default() };
    assert_eq!((told().await, counts().await), (1_i64, failed));
    let replay = async |id: &str| store.replay_event(id.into(), NOW + 5).await.expect("replays");
    assert_eq!(replay("evt_1").await, Replayed::Yes);
    let waits = EventCounts { pending: 1, failed: 0, oldest_at: Some(NOW + 5) };
    assert_eq!(counts().await, waits, "it waits since its replay");
    assert_eq!(store.due_events(NOW, 9).await.expect("reads")[0].tries, 0, "with all of its tries");
    assert_eq!(replay("evt_1").await, Replayed::Waits);
    assert_eq!((replay("evt_2").await, replay("evt_3").await), (Replayed::MeansNothing, Replayed::Unknown));
    fail().await;
    assert_eq!(told().await, 2);
}

#[tokio::test]
async fn an_event_is_stored_once() {
    let store = Temporary::new();
    let receive = || store.receive(event("evt_1", true), NOW);
    assert_eq!(receive().await.expect("stores"), Stored::New);
    assert_eq!(receive().await.expect("stores"), Stored::Duplicate);
    let due = store.due_events(NOW, 10).await.expect("reads");
    assert_eq!(due.len(), 1);
    let later = InboxOutcome::Postponed { at: NOW + 5, reason: "away".into() };
    settle(&store, "evt_1", later).await;
    assert_eq!(store.due_events(NOW, 10).await.expect("reads"), []);
    assert_eq!(
        store.due_events(NOW + 5, 10).await.expect("reads")[0].tries,
        0,
        "Stripe being away is no try"
    );
    settle(&store, "evt_1", InboxOutcome::Done { effects: Vec::new() }).await;
    assert_eq!(receive().await.expect("stores"), Stored::Duplicate);
    assert_eq!(store.next_event_due().await.expect("reads"), None);
}
