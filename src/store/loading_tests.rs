//! Loading over a real file.

use std::sync::mpsc::channel;

use super::tests::{NOW, Temporary, facts};
use super::*;
use crate::domain::period::Period;
use crate::domain::subscription::{Facts, Status};

fn wanted(name: &str, claimed: Option<&str>) -> Wanted {
    Wanted {
        name: name.into(),
        claimed: claimed.map(Into::into),
        keys_after: 0,
        most_members: 0,
        most_keys: 10,
        with_grants: false,
    }
}

async fn load(store: &Store, wanted: Wanted) -> Loaded<usize> {
    let understand = |facts: &[Facts], _: &Adjustments| (facts.len(), Period { start: 0, end: 100 });
    store.load(wanted, NOW, understand).await.expect("loads")
}

#[tokio::test]
async fn a_customer_is_made_linked_and_found_again_under_one_number() {
    let store = Temporary::new();
    let new = load(&store, wanted("acme", None)).await.customer;
    assert_eq!((&*new.name, &new.stripe_customer), ("acme", &None));
    let linked = load(&store, wanted("acme", Some("cus_1"))).await;
    assert_eq!(
        (linked.customer.number, linked.customer.stripe_customer.as_deref()),
        (new.number, Some("cus_1"))
    );
    assert!(!linked.is_listed);
    store.set_listed("cus_1".into(), NOW).await.expect("writes");
    let known = load(&store, wanted("acme", None)).await;
    assert_eq!((known.customer, known.is_listed), (linked.customer, true));
    assert_ne!(load(&store, wanted("other", None)).await.customer.number, new.number);
}

#[tokio::test]
async fn all_subscriptions_come_up_once_a_page_at_a_time() {
    let store = Temporary::new();
    for id in ["sub_3", "sub_1", "sub_2"] {
        let facts = Facts { id: id.into(), ..facts(Status::Active) };
        let read = Upsert {
            facts,
            version: 1,
            reread_at: None,
            window: None,
            rank: 0,
            tier: None,
            amount: None,
            paid_until: None,
        };
        assert!(store.upsert_subscription(read, NOW).await.expect("stores"));
    }
    let page = async |after: &str| {
        let page = store.subscriptions_after(after.into(), 2).await.expect("reads");
        page.into_iter().map(|facts| facts.id).collect::<Vec<_>>()
    };
    assert_eq!(page("").await, ["sub_1", "sub_2"]);
    assert_eq!(page("sub_2").await, ["sub_3"]);
    assert!(page("sub_3").await.is_empty());
}

/// A customer may leave memory as soon as what they used is folded: whoever loads them then must find it.
#[tokio::test]
async fn a_read_sees_what_was_committed_before_it_was_asked_for() {
    let store = Temporary::new();
    let count =
        |db: &Connection| Ok(db.query_row("SELECT count(*) FROM audit", [], |row| row.get::<_, i64>(0))?);
    let ((begun, begins), (end, ends)) = (channel(), channel::<()>());
    let long = store.read(move |db| {
        let before = count(db)?;
        begun.send(()).expect("somebody waits");
        ends.recv().expect("somebody ends it");
        Ok((before, count(db)?))
    });
    let mut long = std::pin::pin!(long);
    assert!(futures_util::poll!(&mut long).is_pending());
    begins.recv().expect("begins");
    store.write(|db| audit::add(db, NOW, "test", None, "while a read runs")).await.expect("writes");
    let mut next = std::pin::pin!(store.read(count));
    assert!(futures_util::poll!(&mut next).is_pending());
    end.send(()).expect("it waits");
    assert_eq!(long.await.expect("reads"), (0, 0), "what a read sees does not change under it");
    assert_eq!(next.await.expect("reads"), 1);
}

#[tokio::test]
async fn a_customer_comes_with_all_of_their_subscriptions_and_with_nobody_elses() {
    let store = Temporary::new();
    for (id, stripe_customer) in [("sub_3", "cus_1"), ("sub_1", "cus_1"), ("sub_2", "cus_2")] {
        let facts = Facts { id: id.into(), stripe_customer: stripe_customer.into(), ..facts(Status::Active) };
        let read = Upsert {
            facts,
            version: 1,
            reread_at: None,
            window: None,
            rank: 0,
            tier: None,
            amount: None,
            paid_until: None,
        };
        assert!(store.upsert_subscription(read, NOW).await.expect("stores"));
    }
    let ids = async |name: &str, claimed| {
        let understand = |facts: &[Facts], _: &Adjustments| {
            let ids: Vec<String> = facts.iter().map(|facts| facts.id.clone()).collect();
            (ids, Period { start: 0, end: 100 })
        };
        store.load(wanted(name, claimed), NOW, understand).await.expect("loads").understood
    };
    assert_eq!(ids("acme", Some("cus_1")).await, ["sub_1", "sub_3"], "just linked");
    assert_eq!(ids("acme", None).await, ["sub_1", "sub_3"], "known");
    assert!(ids("without a link", None).await.is_empty());
}

#[tokio::test]
async fn a_load_finds_every_row_by_an_index_and_sorts_none() {
    let store = Temporary::new();
    let plan = store.read(|db| {
        let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {}", loading::KNOWN))?;
        let steps = query.query_map(["acme"], |row| row.get::<_, String>(3))?;
        Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?)
    });
    let plan = plan.await.expect("explains");
    let sought = plan.iter().filter(|step| step.starts_with("SEARCH"));
    assert_eq!(sought.count(), 3, "{plan:?}");
    assert!(!plan.iter().any(|step| step.starts_with("SCAN") || step.contains("TEMP")), "{plan:?}");
}
