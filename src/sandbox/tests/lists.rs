//! Lists: pages, filters, bounds.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::Harness;
use crate::sandbox::delivery::unix_now;
use crate::sandbox::subscriptions::Subscription;
use crate::sandbox::table::Page;

fn ids(list: &Value) -> Vec<String> {
    let rows = list["data"].as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn ten_thousand_subscriptions_are_a_hundred_pages_and_each_comes_once() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let seeded = harness.sandbox.seed_customers(10_000, "pro", "crowd").expect("a seeded tier");
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/subscriptions?status=all&limit=100&expand[]=data.customer{cursor}");
        let page = harness.get(&path).await.json;
        let last = page["data"].as_array().and_then(|rows| rows.last()).expect("no page is empty");
        assert!(last["customer"]["metadata"]["tollgate_customer"].is_string());
        cursor = format!("&starting_after={}", last["id"].as_str().expect("an id"));
        seen.extend(ids(&page));
        if page["has_more"] == false {
            break;
        }
    }
    let all: BTreeSet<_> = seeded.into_iter().map(|row| row.subscription).collect();
    assert!(seen == all, "{} of {}", seen.len(), all.len());
    assert_eq!(harness.get("/_sandbox/calls").await.json, json!({"subscriptions.list": 100}));
    assert_eq!(harness.get("/v1/events").await.json["data"], json!([]), "a crowd comes without an event");
}

#[tokio::test]
async fn a_page_looks_at_no_more_rows_than_it_shows() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let seeded = harness.sandbox.seed_customers(1_000, "pro", "crowd").expect("a seeded tier");
    let scanned = harness.sandbox.service.with(|state, _| {
        let looked_at = Cell::new(0);
        let page =
            Page { limit: 100, starting_after: Some(seeded[200].subscription.clone()), ending_before: None };
        let count = |_: &Subscription| {
            looked_at.set(looked_at.get() + 1);
            true
        };
        state.subscriptions.page(&page, None, count).expect("a page");
        looked_at.get()
    });
    assert_eq!(scanned, 101);
}

#[tokio::test]
async fn calls_are_counted_by_operation_until_they_are_forgotten() {
    let harness = Harness::start().await;
    harness.post("/v1/customers", "").await;
    harness.post("/v1/customers", "").await;
    harness.get("/v1/customers/cus_none").await;
    harness.get("/_sandbox/health").await;
    let calls = json!({"customers.create": 2, "customers.retrieve": 1});
    assert_eq!(harness.get("/_sandbox/calls").await.json, calls);
    assert_eq!(harness.delete("/_sandbox/calls").await.json, calls);
    assert_eq!(harness.get("/_sandbox/calls").await.json, json!({}));
}

#[tokio::test]
async fn lists_are_filtered_by_time_and_status_and_what_is_asked_for_is_bounded() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let (past, future) = (unix_now() - 60, unix_now() + 60);
    for list in ["subscriptions?status=all", "invoices?limit=100", "customers?limit=100", "events?limit=100"]
    {
        let count = |query: String| harness.get_count(format!("/v1/{list}&created[{query}"));
        let (old, new) = (count(format!("lte]={past}")).await, count(format!("gte]={past}")).await);
        assert!(old == 0 && new > 0, "{list}");
        assert_eq!(count(format!("gte]={future}")).await, 0, "{list}");
    }
    let page = |path: &str| harness.get_count(path.to_owned());
    assert_eq!(page(&format!("/v1/invoices?customer={}&status=paid", pro.customer)).await, 1);
    assert_eq!(page(&format!("/v1/invoices?customer={}&status=open", pro.customer)).await, 0);
    let many =
        |name: &str, n: usize| (0..n).map(|at| format!("&{name}[]=k{at}")).collect::<Vec<_>>().concat();
    for (path, status) in [
        (format!("/v1/prices?limit=10{}", many("lookup_keys", 10)), 200),
        (format!("/v1/prices?limit=10{}", many("lookup_keys", 11)), 400),
        (format!("/v1/events?limit=10{}", many("types", 20)), 200),
        (format!("/v1/events?limit=10{}", many("types", 21)), 400),
        ("/v1/subscriptions?status=nonsense".to_owned(), 400),
        ("/v1/subscriptions?status=ended".to_owned(), 200),
        ("/v1/subscriptions?starting_after=sub_none".to_owned(), 400),
    ] {
        assert_eq!(harness.get(&path).await.status, status, "{path}");
    }
}

impl Harness {
    async fn get_count(&self, path: String) -> usize {
        let answer = tokio::time::timeout(Duration::from_secs(30), self.get(&path)).await.expect("an answer");
        answer.json["data"].as_array().expect("a list").len()
    }
}
