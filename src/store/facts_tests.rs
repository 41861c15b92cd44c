//! What is noted for others, and what others have told.

use super::tests::{NOW, Temporary};
use super::*;
use crate::domain::facts::{Entries, Entry, Grant as Told, Holder, Kind, Link};
use crate::domain::subscription::Facts;

fn acme() -> Holder {
    Holder::Customer("acme".into())
}

async fn sharing() -> Temporary {
    let store = Temporary::new();
    store.share_facts().await.expect("shares");
    while !store.gather_facts().await.expect("gathers") {}
    store
}

async fn to_put(store: &Store) -> Vec<FactsToPut> {
    store.facts_to_put(None, 10).await.expect("reads")
}

async fn block(store: &Store, blocked: bool, reason: &str) {
    let number = store.customer("acme".into(), None, NOW).await.expect("a customer").number;
    store.set_block(number, blocked, reason.into(), "operator", NOW).await.expect("sets");
}

async fn told(store: &Store, version: FactsVersion, entries: &Entries) -> Merged {
    let understand = |facts: Facts, version| Upsert {
        facts,
        version,
        reread_at: None,
        window: None,
        rank: 0,
        tier: None,
        amount: None,
        paid_until: None,
    };
    store
        .merge_facts(acme(), version, entries.write().into(), NOW, understand)
        .await
        .expect("merges")
        .expect("understood")
}

fn of(kind: Kind, key: &str, at: u64, body: Box<[u8]>) -> Entries {
    let mut entries = Entries::default();
    entries.put((kind, key.to_owned()), Entry { at, body: Some(body) });
    entries
}

#[tokio::test]
async fn who_is_alone_notes_nothing_and_gathers_it_once_there_are_others() {
    let store = Temporary::new();
    block(&store, true, "why").await;
    store.customer("other".into(), Some("cus_1".into()), NOW).await.expect("links");
    assert_eq!(to_put(&store).await, []);
    assert_eq!(store.facts_holders(None, 9).await.expect("reads"), []);
    assert!(!store.share_facts().await.expect("shares"));
    while !store.gather_facts().await.expect("gathers") {}
    assert!(store.share_facts().await.expect("shares"), "once");
    let names: Vec<_> = to_put(&store).await.into_iter().map(|row| row.holder).collect();
    assert_eq!(names, [acme(), Holder::Customer("other".into())]);
}

#[tokio::test]
async fn what_changes_while_it_is_being_put_is_put_again() {
    let store = sharing().await;
    block(&store, true, "why").await;
    let before = to_put(&store).await.remove(0);
    block(&store, false, "").await;
    store.facts_are_put(acme(), before.changes, *b"00000001").await.expect("notes");
    let left = to_put(&store).await.remove(0);
    assert_eq!(left.version, *b"00000001");
    assert_ne!(left.entries, before.entries);
    store.facts_are_put(acme(), left.changes, *b"00000002").await.expect("notes");
    assert_eq!(to_put(&store).await, []);
    store.put_facts_again(vec![acme()]).await.expect("marks");
    assert_eq!(to_put(&store).await.len(), 1);
}

#[tokio::test]
async fn a_version_never_falls_and_tells_who_knows_more() {
    let store = sharing().await;
    let blocked = |at| of(Kind::BLOCK, "", at, Box::from(*b"why"));
    told(&store, *b"00000005", &blocked(5)).await;
    assert!(!told(&store, *b"00000003", &blocked(3)).await.changed, "late");
    store.facts_are_put(acme(), 0, *b"00000004").await.expect("notes");
    let known = |version: &FactsVersion| vec![(acme(), *version)];
    let compare = async |version| store.compare_facts(known(version)).await.expect("reads");
    assert_eq!(compare(b"00000005").await, (vec![], vec![]));
    assert_eq!(compare(b"00000006").await, (vec![acme()], vec![]));
    assert_eq!(compare(b"00000004").await, (vec![], vec![acme()]));
    let wanted = |with_grants| Wanted {
        name: "acme".into(),
        claimed: None,
        keys_after: 0,
        most_members: 0,
        most_keys: 0,
        with_grants,
    };
    let period = crate::domain::period::Period { start: 0, end: 1 };
    let version = async |with| {
        let loaded = store.load(wanted(with), NOW, move |_, _| ((), period)).await.expect("loads");
        loaded.version
    };
    assert_eq!((version(true).await, version(false).await), (*b"00000005", *b"00000000"));
}

#[tokio::test]
async fn a_grant_of_another_node_is_booked_once_and_its_end_is_agreed_on() {
    let store = sharing().await;
    let number = store.customer("acme".into(), None, NOW).await.expect("a customer").number;
    let act = CreditAct { cause: "invoice:in_1".into(), reason: "a pack".into(), actor: "stripe" };
    let grant = CreditGrant { customer: number, units: 10, expires_at: Some(NOW + 100), act };
    store.grant_credits(grant, NOW).await.expect("grants");
    let at = (u64::try_from(NOW).expect("late") + 9) * 1_000_000;
    let body = Told { units: 10, expires_at: Some(NOW + 900), reason: "a pack".into() };
    let theirs = of(Kind::GRANT, "invoice:in_1", at, body.write());
    for version in [b"00000001", b"00000001", b"00000002"] {
        told(&store, *version, &theirs).await;
    }
    let history = store.credit_history(number, None, 9).await.expect("reads");
    assert_eq!((history.len(), history[0].balance, history[0].expires_at), (1, 10, Some(NOW + 100)));
    let wanted = Wanted {
        name: "acme".into(),
        claimed: None,
        keys_after: 0,
        most_members: 0,
        most_keys: 0,
        with_grants: false,
    };
    let period = crate::domain::period::Period { start: 0, end: 1 };
    let loaded = store.load(wanted, NOW, move |_, _| ((), period)).await.expect("loads");
    assert_eq!(loaded.lots[0].expires_at, Some(NOW + 900));
    let other = of(Kind::GRANT, "invoice:in_2", at, body.write());
    let merged = told(&store, *b"00000003", &other).await;
    assert!(merged.changed && !to_put(&store).await.is_empty(), "the first is not in what was told");
    assert_eq!(store.credit_history(number, None, 9).await.expect("reads")[0].balance, 20);
}

#[tokio::test]
async fn the_first_link_of_any_node_says_from_when_on_usage_is_billed() {
    let store = sharing().await;
    let link = |id: &str, is_claimed| Link { stripe_customer: id.into(), is_claimed }.write();
    let at = u64::try_from(NOW).expect("late") * 1_000_000;
    store.customer("acme".into(), Some("cus_1".into()), NOW - 50).await.expect("links");
    let merged = told(&store, *b"00000001", &of(Kind::LINK, "", at, link("cus_2", true))).await;
    assert!(merged.changed, "a claim beats a link");
    let first = |row: &FactsToPut| row.entries.get(&(Kind::FIRST_LINK, String::new())).map(|entry| entry.at);
    assert_eq!(first(&to_put(&store).await[0]), Some(at - 50_000_000));
    let earlier = at - 90_000_000;
    told(&store, *b"00000002", &of(Kind::FIRST_LINK, "", earlier, Box::default())).await;
    let row = store.find_customer("acme".into()).await.expect("reads").expect("there");
    let exported = store.export_customer(row.number, None).await.expect("reads");
    let since = crate::domain::period::rfc3339(NOW - 90);
    assert_eq!(
        (row.stripe_customer.as_deref(), &exported["customer"][0]["linked_at"]),
        (Some("cus_2"), &since.into())
    );
}

#[tokio::test]
async fn what_a_later_version_has_written_stays_as_it_is() {
    let store = sharing().await;
    block(&store, true, "why").await;
    let understand = |_: Facts, _: u64| -> Upsert { unreachable!("nothing is understood") };
    let merged =
        store.merge_facts(acme(), *b"00000009", Box::from([9, 9]), NOW, understand).await.expect("merges");
    assert_eq!(merged, None);
    let row = store.facts_of(acme()).await.expect("reads").expect("there");
    assert_eq!((row.version, row.entries.iter().count()), (*b"00000009", 1));
    let unknown = of(Kind(77), "x", 3, Box::from(*b"?"));
    told(&store, *b"0000000a", &unknown).await;
    let row = store.facts_of(acme()).await.expect("reads").expect("there");
    assert!(row.entries.get(&(Kind(77), "x".into())).is_some(), "it is told on");
}

#[tokio::test]
async fn a_late_message_takes_nothing_from_what_is_to_be_put() {
    let store = sharing().await;
    let set = |at| of(Kind::OVERRIDE, "", at, Box::from(*b"\0\0\0\x03why"));
    told(&store, *b"00000005", &set(5)).await;
    block(&store, true, "why").await;
    told(&store, *b"00000003", &set(3)).await;
    assert_eq!(to_put(&store).await.len(), 1);
    told(&store, *b"00000006", &set(6)).await;
    assert_eq!(to_put(&store).await.len(), 1, "nor does a later one that does not have it");
}
