//! What an erasure takes, and what it is refused for.

use super::super::tests::{NOW, Temporary};
use super::super::{CreditAct, CreditGrant, EventFacts, InboxOutcome, NewEvent, NoticeFilter};
use super::*;

async fn customer(store: &Store, name: &str) -> u32 {
    store.customer(name.to_owned(), None, NOW).await.expect("a customer").number
}

async fn erase(store: &Store, name: &str, events: EventsOf) -> Erased {
    store.erase_customer(name.to_owned(), events, NOW + 9).await.expect("asks")
}

async fn events_of(store: &Store, name: &str, now: i64) -> EventsOf {
    store.events_of_customer(name.to_owned(), now).await.expect("looks")
}

async fn receive(store: &Store, id: &str, means_something: bool, customer: &str, at: i64) {
    let facts = EventFacts { tollgate_customer: Some(customer.to_owned()), ..EventFacts::default() };
    let (id, payload) = (id.to_owned(), Some(vec![1]));
    let event = NewEvent { id, means_something, facts, payload, ..NewEvent::default() };
    store.receive(event, at).await.expect("stores");
}

/// The events that still say something.
async fn telling(store: &Store) -> Vec<String> {
    let query = "SELECT event_id FROM inbox WHERE facts <> '{}' OR payload IS NOT NULL ORDER BY 1";
    let found = store.read(move |db| {
        let mut query = db.prepare(query)?;
        let ids = query.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<Vec<String>>>()?)
    });
    found.await.expect("reads")
}

async fn name_of(store: &Store, number: u32) -> String {
    store.numbered_names(vec![number]).await.expect("reads").remove(&number).expect("a name")
}

#[tokio::test]
async fn members_are_forgotten_with_their_customer_and_stay_with_others() {
    let store = Temporary::new();
    let (acme, other) = (customer(&store, "acme").await, customer(&store, "other").await);
    let member = async |of| store.number_member(of, "jane".to_owned()).await.expect("a number");
    let (of_acme, of_other) = (member(acme).await, member(other).await);
    assert_ne!(of_acme, of_other);
    assert_eq!(member(acme).await, of_acme);
    let exported = store.export_customer(acme, None).await.expect("exports");
    assert_eq!(exported["members"], serde_json::json!([{ "number": of_acme, "name": "jane" }]));
    let events = events_of(&store, "acme", NOW).await;
    assert_eq!(erase(&store, "acme", events).await, Erased::As(format!("erased {acme}")));
    assert_eq!(name_of(&store, of_acme).await, format!("erased {of_acme}"));
    assert_eq!(name_of(&store, of_other).await, "jane");
    let somebody_new = customer(&store, "acme").await;
    assert!(![of_acme, of_other].contains(&member(somebody_new).await), "no number stands for two names");
}

#[tokio::test]
async fn nobody_is_erased_while_an_event_of_theirs_is_still_to_be_applied() {
    let store = Temporary::new();
    customer(&store, "acme").await;
    receive(&store, "evt_theirs", true, "acme", NOW).await;
    receive(&store, "evt_other", true, "other", NOW).await;
    let events = events_of(&store, "acme", NOW).await;
    let waits = StillNeeded::Event("evt_theirs".to_owned());
    assert_eq!(erase(&store, "acme", events.clone()).await, Erased::Refused(waits.clone()));
    assert_eq!(telling(&store).await, ["evt_other", "evt_theirs"]);
    let done = InboxOutcome::Done { effects: Vec::new() };
    store.settle_events(vec![("evt_theirs".to_owned(), done)], NOW).await.expect("settles");
    let forward =
        "INSERT INTO forwards (event_id, signature, body, next_try_at) VALUES ('evt_theirs', '', x'00', 0)";
    store.write(move |db| Ok(db.execute(forward, [])?)).await.expect("a row");
    assert_eq!(erase(&store, "acme", events.clone()).await, Erased::Refused(waits));
    store.write(|db| Ok(db.execute("DELETE FROM forwards", [])?)).await.expect("it is handed on");
    assert!(matches!(erase(&store, "acme", events).await, Erased::As(_)));
    assert_eq!(telling(&store).await, ["evt_other"]);
}

#[tokio::test]
async fn events_that_mean_nothing_and_those_that_came_after_the_look_are_forgotten_too() {
    let store = Temporary::new();
    customer(&store, "acme").await;
    receive(&store, "evt_1", false, "acme", NOW - 5).await;
    receive(&store, "evt_2", false, "other", NOW - 5).await;
    let events = events_of(&store, "acme", NOW).await;
    receive(&store, "evt_3", false, "acme", NOW).await;
    assert!(matches!(erase(&store, "acme", events).await, Erased::As(_)));
    assert_eq!(telling(&store).await, ["evt_2"]);
}

#[tokio::test]
async fn what_operators_wrote_goes_and_what_keeps_a_payment_from_counting_twice_stays() {
    let store = Temporary::new();
    store.set_credits_low(100, None).expect("writes");
    let number = customer(&store, "acme").await;
    let grant = |cause: &str| {
        let act = CreditAct { cause: cause.to_owned(), reason: "for jane".to_owned(), actor: "operator" };
        store.grant_credits(CreditGrant { customer: number, units: 5, expires_at: None, act }, NOW)
    };
    for cause in ["payment:pi_1", "operator:1:jane-2026"] {
        grant(cause).await.expect("grants").expect("new");
    }
    let events = events_of(&store, "acme", NOW).await;
    assert!(matches!(erase(&store, "acme", events).await, Erased::As(_)));
    let rows = store.credit_history(number, None, 9).await.expect("reads");
    assert!(rows.iter().all(|row| row.reason.is_none()), "{rows:?}");
    assert!(rows.iter().all(|row| !row.cause.as_deref().unwrap_or_default().contains("jane")), "{rows:?}");
    assert_eq!((rows[0].kind.as_str(), rows[0].balance), ("taken", 0));
    let told = store.notices(NoticeFilter { limit: 9, ..NoticeFilter::default() }).await.expect("reads");
    assert_eq!(told, [], "that they have gone with the customer is told to nobody");
    assert_eq!(grant("payment:pi_1").await.expect("asks"), None);
}
