//! Keys in the store, and as other nodes tell of them.

use super::*;
use crate::domain::facts::{Entries, Entry, Holder, Kind};
use crate::domain::subscription::Facts;
use crate::store::tests::{NOW, Temporary};
use crate::store::{AuditRow, Upsert};

fn new(id: &str, customer: &str) -> NewApiKey {
    NewApiKey {
        id: id.into(),
        digest: [7; 32],
        customer: customer.into(),
        stripe_customer: None,
        name: "of the shop".into(),
        scopes: Some(vec!["read".into()]),
        expires_at: None,
    }
}

fn replacement(id: &str, until: i64) -> Replacement {
    Replacement { id: id.into(), digest: [8; 32], expires_at: None, until }
}

async fn in_force(store: &Store, customer: &str, now: i64) -> Vec<String> {
    let rows = store.api_keys_in_force(customer.into(), now).await.expect("reads");
    rows.into_iter().map(|row| row.id).collect()
}

async fn trail(store: &Store) -> Vec<(String, String)> {
    let rows = store.audit_rows(None, None, 10).await.expect("reads");
    rows.into_iter().rev().map(|AuditRow { action, actor, .. }| (action, actor)).collect()
}

#[tokio::test]
async fn a_key_is_made_replaced_and_revoked_and_each_leaves_a_trail() {
    let store = Temporary::new();
    let made = store.add_api_key(new("aaaaaaaa", "acme"), "operator", NOW).await.expect("adds");
    assert_eq!((made.customer.as_str(), made.key.created_at), ("acme", NOW));
    let replaced = store.replace_api_key(made.id.clone(), replacement("bbbbbbbb", NOW + 60), "operator", NOW);
    let Replaced::By(second) = replaced.await.expect("replaces") else { panic!("it is in force") };
    assert_eq!(second.key.scopes, made.key.scopes);
    assert_eq!(in_force(&store, "acme", NOW + 59).await, ["aaaaaaaa", "bbbbbbbb"]);
    assert_eq!(in_force(&store, "acme", NOW + 60).await, ["bbbbbbbb"]);
    let again = store.replace_api_key(made.id, replacement("cccccccc", NOW + 60), "operator", NOW);
    assert!(matches!(again.await.expect("asks"), Replaced::NotInForce(_)));
    let revoked = store.revoke_api_key(second.id.clone(), "operator", NOW + 1).await.expect("revokes");
    assert_eq!(revoked.expect("it is there").key.revoked_at, Some(NOW + 1));
    let again = store.revoke_api_key(second.id, "operator", NOW + 9).await.expect("asks");
    assert_eq!(again.expect("it is there").key.revoked_at, Some(NOW + 1));
    assert_eq!(in_force(&store, "acme", NOW + 60).await, [""; 0]);
    let acts = ["key_created", "key_rotated", "key_revoked"].map(|act| (act.into(), "operator".into()));
    assert_eq!(trail(&store).await, acts);
    assert_eq!(store.revoke_api_key("zzzzzzzz".into(), "operator", NOW).await.expect("asks"), None);
}

#[tokio::test]
async fn an_id_that_is_taken_changes_nobodys_key() {
    let store = Temporary::new();
    let acme = store.add_api_key(new("aaaaaaaa", "acme"), "operator", NOW).await.expect("adds");
    let other = store.add_api_key(new("bbbbbbbb", "other"), "operator", NOW).await.expect("adds");
    let taken = NewApiKey { scopes: None, digest: [9; 32], ..new("aaaaaaaa", "other") };
    assert!(store.add_api_key(taken, "operator", NOW).await.is_err());
    let replaced = store.replace_api_key("bbbbbbbb".into(), replacement("aaaaaaaa", NOW), "operator", NOW);
    assert!(replaced.await.is_err());
    for row in [acme, other] {
        assert_eq!(store.api_key(row.id.clone()).await.expect("reads"), Some(row), "as it was");
    }
    assert_eq!(trail(&store).await.len(), 2);
}

#[tokio::test]
async fn a_replacement_never_lengthens_the_life_of_what_it_replaces() {
    let store = Temporary::new();
    let brief = NewApiKey { expires_at: Some(NOW + 5), ..new("aaaaaaaa", "acme") };
    store.add_api_key(brief, "operator", NOW).await.expect("adds");
    let replaced =
        store.replace_api_key("aaaaaaaa".into(), replacement("bbbbbbbb", NOW + 60), "operator", NOW);
    assert!(matches!(replaced.await.expect("replaces"), Replaced::By(_)));
    assert_eq!(in_force(&store, "acme", NOW + 5).await, ["bbbbbbbb"]);
}

#[tokio::test]
async fn a_key_that_names_a_customer_at_stripe_links_its_own() {
    let store = Temporary::new();
    let linked = NewApiKey { stripe_customer: Some("cus_1".into()), ..new("aaaaaaaa", "acme") };
    store.add_api_key(linked, "operator", NOW).await.expect("adds");
    let row = store.find_customer("acme".into()).await.expect("reads").expect("is made");
    assert_eq!(row.stripe_customer.as_deref(), Some("cus_1"));
}

#[tokio::test]
async fn a_list_goes_on_behind_a_key_and_has_one_customer_or_all() {
    let store = Temporary::new();
    for (id, customer) in [("aaaaaaaa", "acme"), ("bbbbbbbb", "other"), ("cccccccc", "acme")] {
        store.add_api_key(new(id, customer), "operator", NOW).await.expect("adds");
    }
    store.note_api_key_uses(vec![("cccccccc".into(), NOW)]).await.expect("notes");
    let listed = async |customer: Option<&str>, after| {
        let rows = store.api_keys(customer.map(str::to_owned), after, 2).await.expect("reads");
        rows.into_iter().map(|row| (row.id, row.last_used)).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 1).await, [("bbbbbbbb".into(), None), ("cccccccc".into(), Some(NOW))]);
    assert_eq!(listed(Some("acme"), 0).await, [("aaaaaaaa".into(), None), ("cccccccc".into(), Some(NOW))]);
    let with_keys = store.customers_with_api_keys(String::new(), 9).await.expect("reads");
    assert_eq!(with_keys, ["acme", "other"]);
    let between = ("acme".into(), "other".into());
    let all = store.api_keys_in_force_between(between, NOW).await.expect("reads");
    let ids: Vec<&str> = all.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["aaaaaaaa", "cccccccc", "bbbbbbbb"], "each customer's together");
}

#[tokio::test]
async fn what_another_node_tells_of_a_key_is_in_force_here_and_a_revoked_one_never_comes_back() {
    let (one, other) = (Temporary::new(), Temporary::new());
    one.add_api_key(new("bbbbbbbb", "acme"), "operator", NOW).await.expect("adds");
    for node in [&one, &other] {
        node.share_facts().await.expect("shares");
        while !node.gather_facts().await.expect("gathers") {}
    }
    one.add_api_key(new("aaaaaaaa", "acme"), "operator", NOW).await.expect("adds");
    let valid = tell(&one, &other, *b"00000001").await;
    assert_eq!(in_force(&other, "acme", NOW).await.len(), 2, "one that was made before is told as well");
    one.revoke_api_key("aaaaaaaa".into(), "operator", NOW).await.expect("revokes");
    tell(&one, &other, *b"00000002").await;
    assert_eq!(in_force(&other, "acme", NOW).await, ["bbbbbbbb"]);
    take_in(&other, *b"00000003", &valid).await;
    let late =
        Entry { at: u64::MAX, body: valid.get(&(Kind::API_KEY, "aaaaaaaa".into())).unwrap().body.clone() };
    let mut forged = Entries::default();
    forged.put((Kind::API_KEY, "aaaaaaaa".into()), late);
    take_in(&other, *b"00000004", &forged).await;
    assert_eq!(in_force(&other, "acme", NOW).await, ["bbbbbbbb"]);
    let told = trail(&other).await;
    assert_eq!(told.iter().filter(|(act, by)| act == "key_revoked" && by == "fleet").count(), 1, "{told:?}");
}

/// What one node knows of acme, told to another.
async fn tell(from: &Store, to: &Store, version: [u8; 8]) -> Entries {
    let known = from.facts_of(Holder::Customer("acme".into())).await.expect("reads").expect("notes").entries;
    take_in(to, version, &known).await;
    known
}

async fn take_in(store: &Store, version: [u8; 8], told: &Entries) {
    let understand = |_: Facts, _| -> Upsert { unreachable!("there is no subscription") };
    let holder = Holder::Customer("acme".into());
    let taken = store.merge_facts(holder, version, told.write().into(), NOW, understand).await;
    assert!(taken.expect("merges").is_some());
}
