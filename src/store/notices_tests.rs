use std::sync::Arc;

use serde_json::json;

use super::super::deliveries::listing;
use super::super::{DeliveryState, NoticeFilter, Retry, Subscriber, Tried};
use super::*;

const NOW: i64 = 1_795_174_000;

struct Temporary {
    store: Store,
    _folder: tempfile::TempDir,
}

fn store() -> Temporary {
    let folder = tempfile::tempdir().expect("a folder");
    Temporary { store: Store::open(folder.path()).expect("opens"), _folder: folder }
}

fn notice(kind: NoticeKind, cause: &str) -> NewNotice {
    NewNotice { kind, customer: None, cause: cause.to_owned(), data: json!({ "cause": cause }) }
}

fn subscribers() -> Arc<[Subscriber]> {
    let some = Some(vec!["tier.changed".to_owned()]);
    let all = Subscriber { name: "all".to_owned(), types: None };
    [all, Subscriber { name: "some".to_owned(), types: some }].into()
}

/// No deliveries.
const NONE: [(String, u32); 0] = [];

async fn due(store: &Store, target: &str, now: i64) -> Vec<(String, u32)> {
    let due = store.due_deliveries(target.to_owned(), now, 10).await.expect("reads");
    due.into_iter().map(|delivery| (delivery.kind, delivery.tries)).collect()
}

#[tokio::test]
async fn a_cause_is_told_once_and_to_those_who_want_it() {
    let Temporary { store, _folder } = store();
    let (tier, quota) = (NoticeKind::TierChanged, NoticeKind::QuotaReached);
    assert!(store.notify(notice(tier, "a"), NOW).await.expect("writes"));
    assert!(!store.notify(notice(tier, "a"), NOW).await.expect("writes"));
    let some = vec![notice(tier, "a"), notice(quota, "b"), notice(quota, "b")];
    assert_eq!(store.notify_unknown(some.clone(), NOW).await.expect("writes"), 1);
    assert_eq!(store.notify_unknown(some, NOW).await.expect("writes"), 0);
    assert_eq!(store.spread_notices(subscribers(), NOW).await.expect("spreads"), 2);
    assert_eq!(store.spread_notices(subscribers(), NOW).await.expect("spreads"), 0);
    let (tier, quota) = (("tier.changed".to_owned(), 0), ("quota.reached".to_owned(), 0));
    assert_eq!(due(&store, "all", NOW).await, [tier.clone(), quota]);
    assert_eq!(due(&store, "some", NOW).await, [tier]);
    assert_eq!(due(&store, "all", NOW - 1).await, NONE);
    assert_eq!(store.pending_deliveries().await.expect("counts"), 3);
}

#[tokio::test]
async fn a_delivery_is_due_again_at_its_time_until_it_is_settled() {
    let Temporary { store, _folder } = store();
    store.notify(notice(NoticeKind::TierChanged, "a"), NOW).await.expect("writes");
    store.spread_notices(subscribers(), NOW).await.expect("spreads");
    let settle = async |target: &str, tried| {
        store.settle_delivery(1, target.to_owned(), tried, NOW).await.expect("settles");
    };
    settle("all", Tried::Again { at: NOW + 4, answer: "answered 500".to_owned() }).await;
    assert_eq!(due(&store, "all", NOW + 3).await, NONE);
    assert_eq!(due(&store, "all", NOW + 4).await, [("tier.changed".to_owned(), 1)]);
    settle("all", Tried::Failed { answer: "answered 500".to_owned() }).await;
    settle("some", Tried::Delivered { answer: "answered 200".to_owned() }).await;
    assert_eq!(due(&store, "all", NOW + 100).await, NONE);
    let retry = async |notice, target: &str| {
        store.retry_delivery(notice, target.to_owned(), NOW + 7).await.expect("answers")
    };
    assert_eq!(retry(1, "some").await, Retry::Delivered);
    assert_eq!([retry(2, "all").await, retry(1, "nobody").await], [Retry::Unknown; 2]);
    assert_eq!(retry(1, "all").await, Retry::Due);
    assert_eq!(due(&store, "all", NOW + 7).await, [("tier.changed".to_owned(), 0)]);
}

#[tokio::test]
async fn the_log_tells_what_became_of_each_delivery() {
    let Temporary { store, _folder } = store();
    for cause in ["a", "b", "c"] {
        store.notify(notice(NoticeKind::TierChanged, cause), NOW).await.expect("writes");
    }
    store.spread_notices(subscribers(), NOW).await.expect("spreads");
    let failed = Tried::Failed { answer: "answered 500".to_owned() };
    store.settle_delivery(2, "all".to_owned(), failed, NOW + 5).await.expect("settles");
    let list = async |filter: NoticeFilter| {
        let rows = store.notices(NoticeFilter { limit: 10, ..filter }).await.expect("reads");
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(list(NoticeFilter::default()).await, [3, 2, 1]);
    assert_eq!(list(NoticeFilter { before: Some(3), ..NoticeFilter::default() }).await, [2, 1]);
    assert_eq!(
        list(NoticeFilter { state: Some(DeliveryState::Failed), ..NoticeFilter::default() }).await,
        [2]
    );
    let kind = Some("quota.reached".to_owned());
    assert_eq!(list(NoticeFilter { kind, ..NoticeFilter::default() }).await, [0; 0]);
    let rows = store.notices(NoticeFilter { before: Some(3), limit: 1, ..NoticeFilter::default() });
    let row = rows.await.expect("reads").remove(0);
    assert_eq!(row.data, json!({ "cause": "b" }));
    let states: Vec<_> = row.deliveries.iter().map(|one| (one.target.as_str(), one.state.as_str())).collect();
    assert_eq!(states, [("all", "failed"), ("some", "pending")]);
    assert_eq!(row.deliveries[0].answer.as_deref(), Some("answered 500"));
}

#[tokio::test]
async fn what_is_settled_goes_after_its_time_and_its_cause_later() {
    let Temporary { store, _folder } = store();
    store.notify(notice(NoticeKind::TierChanged, "a"), NOW).await.expect("writes");
    store.spread_notices(subscribers(), NOW).await.expect("spreads");
    let delivered = Tried::Delivered { answer: "answered 200".to_owned() };
    store.settle_delivery(1, "all".to_owned(), delivered, NOW).await.expect("settles");
    let left = async || {
        let rows = store.notices(NoticeFilter { limit: 10, ..NoticeFilter::default() }).await.expect("reads");
        rows.iter().map(|row| row.deliveries.len()).collect::<Vec<_>>()
    };
    let prune = async |settled, told| assert!(!store.prune_notices(settled, told).await.expect("prunes"));
    prune(NOW, NOW + 1).await;
    assert_eq!(left().await, [2], "neither what is young nor what waits");
    prune(NOW + 1, NOW + 1).await;
    assert_eq!(left().await, [1], "it is kept for what waits");
    let known = vec!["all".to_owned()];
    assert_eq!(store.give_up_other_targets(&known, NOW).await.expect("gives up"), 1);
    prune(NOW + 1, NOW).await;
    assert_eq!(left().await, [0; 0], "what it said is kept no longer");
    assert!(
        !store.notify(notice(NoticeKind::TierChanged, "a"), NOW).await.expect("writes"),
        "but that it was"
    );
    prune(NOW + 1, NOW + 1).await;
    assert!(store.notify(notice(NoticeKind::TierChanged, "a"), NOW).await.expect("writes"));
}

#[tokio::test]
async fn low_credits_are_told_once_for_each_grant() {
    let Temporary { store, _folder } = store();
    store.set_credits_low(10, Some("free")).expect("writes");
    store.customer("acme".to_owned(), None, NOW).await.expect("registers");
    let change = async |sql: &'static str| {
        store.write(move |db| Ok(db.execute(sql, [])?)).await.expect("writes");
        let rows = store.notices(NoticeFilter { limit: 10, ..NoticeFilter::default() });
        let rows = rows.await.expect("reads");
        rows.iter().map(|row| row.data["credits"].as_i64().expect("units")).collect::<Vec<_>>()
    };
    let granted = "INSERT INTO credits (customer, at, kind, units, balance) VALUES (1, 5, 'granted', 20, 20)";
    assert_eq!(change(granted).await, [0; 0]);
    let spent = "INSERT INTO credits (customer, at, kind, units, balance) VALUES (1, 6, 'spent', -10, 10)";
    assert_eq!(change(spent).await, [0; 0], "ten are not below ten");
    let more = "UPDATE credits SET units = units - 1, balance = balance - 1 WHERE kind = 'spent'";
    assert_eq!(change(more).await, [9], "an hour's spending is one row, which grows");
    assert_eq!(change(more).await, [9]);
    let again = "INSERT INTO credits (customer, at, kind, units, balance) VALUES (1, 7, 'granted', 1, 9)";
    assert_eq!(change(again).await, [9], "more came in");
    let taken = "INSERT INTO credits (customer, at, kind, units, balance) VALUES (1, 8, 'taken', -9, 0)";
    assert_eq!(change(taken).await, [0, 9], "a new grant is told of anew");
    let rows = store.notices(NoticeFilter { limit: 1, ..NoticeFilter::default() }).await.expect("reads");
    let data = json!({ "customer": "acme", "tier": "free", "status": "no_subscription", "credits": 0 });
    assert_eq!((rows[0].kind.as_str(), &rows[0].data), ("credits.low", &data));
    store.set_credits_low(0, None).expect("writes");
    let last = "INSERT INTO credits (customer, at, kind, units, balance) VALUES (1, 9, 'granted', 1, 1)";
    assert_eq!(change(last).await, [0, 9]);
    let expired = "INSERT INTO credits (customer, at, kind, units, balance) VALUES (1, 9, 'expired', -1, 0)";
    assert_eq!(change(expired).await, [0, 9], "with 0 nobody is told");
}

#[tokio::test]
async fn the_log_is_found_by_index_and_sorts_nothing() {
    let Temporary { store, _folder } = store();
    for kind in [None, Some("quota.reached".to_owned())] {
        for state in [None, Some(DeliveryState::Pending), Some(DeliveryState::Failed)] {
            let filter = NoticeFilter { kind: kind.clone(), state, ..NoticeFilter::default() };
            let plan = plan(&store, listing(&filter)).await;
            let sought =
                if filter.kind.is_some() { "SEARCH n USING INDEX notices_by_kind" } else { "SEARCH n" };
            assert!(plan[0].starts_with(sought), "{filter:?}: {plan:?}");
            let all = plan.iter().filter(|step| step.starts_with("SCAN") || step.contains("TEMP"));
            let of_the_state = all.clone().filter(|step| step.contains("deliveries_"));
            assert_eq!(all.count(), of_the_state.count(), "{filter:?}: {plan:?}");
        }
    }
}

/// How the rows of a query are found.
async fn plan(store: &Store, query: String) -> Vec<String> {
    let steps = store.read(move |db| {
        let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
        let steps = query.query_map(params![1, "quota.reached", 1], |row| row.get(3))?;
        Ok(steps.collect::<rusqlite::Result<_>>()?)
    });
    steps.await.expect("explains")
}

#[tokio::test]
async fn what_was_given_up_is_sent_again_however_much_it_is() {
    let Temporary { store, _folder } = store();
    let failed = "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1234)
        INSERT INTO deliveries (notice, target, state, tries, next_try_at, settled_at)
        SELECT id, iif(id % 2, 'all', 'some'), 'failed', 8, 0, 0 FROM n";
    store.write(move |db| Ok(db.execute(failed, [])?)).await.expect("writes");
    assert_eq!(store.retry_deliveries("all".to_owned(), NOW).await.expect("writes"), 617);
    assert_eq!(store.pending_deliveries().await.expect("counts"), 617);
    assert_eq!(store.retry_deliveries("all".to_owned(), NOW).await.expect("writes"), 0);
}
