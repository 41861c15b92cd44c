//! Who is known, and all that is known of one.

use http::Method;
use serde_json::{Value, json};

use super::{each, rows};
use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

/// Whoever the list shows, by name.
async fn named(world: &World, question: &str) -> Vec<String> {
    let list = world.shown(&format!("/admin/customers?{question}")).await;
    each(&list, "customer").into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_found_by_name_tier_and_status() {
    let world = World::start().await;
    let (_, pro) = world.subscriber("acme", "pro").await;
    let (_, starter) = world.subscriber("acme-2", "starter").await;
    for name in ["zoe", "org/7", "acme_3"] {
        assert_eq!(world.customer(name).get("/signals").await.status, 200);
    }
    until("both states are noted", PATIENCE, async || {
        let noted = named(&world, "status=active").await.len() == 2;
        noted.then_some(())
    })
    .await;
    let by_stripe_customer = format!("q={}", starter.customer);
    for (question, expected) in [
        ("", vec!["acme", "acme-2", "zoe", "org/7", "acme_3"]),
        ("q=acme", vec!["acme", "acme-2", "acme_3"]),
        ("q=acme_", vec!["acme_3"]),
        ("q=org%2F7", vec!["org/7"]),
        ("q=", vec!["acme", "acme-2", "zoe", "org/7", "acme_3"]),
        ("q=nobody", vec![]),
        (by_stripe_customer.as_str(), vec!["acme-2"]),
        ("tier=pro", vec!["acme"]),
        ("tier=free", vec!["zoe", "org/7", "acme_3"]),
        ("tier=platinum", vec![]),
        ("status=no_subscription", vec!["zoe", "org/7", "acme_3"]),
        ("status=active&tier=starter&q=acme", vec!["acme-2"]),
        ("status=canceled", vec![]),
    ] {
        assert_eq!(named(&world, question).await, expected, "{question}");
    }
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.shown(&format!("/admin/customers?limit=2{cursor}")).await;
        paged.extend(rows(&page).clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(&paged, rows(&world.shown("/admin/customers").await));
    assert_eq!(
        (&paged[0]["tier"], &paged[0]["status"], &paged[0]["stripe_customer"], &paged[0]["blocked"]),
        (&json!("pro"), &json!("active"), &json!(pro.customer), &json!(false))
    );
    assert_eq!((&paged[2]["tier"], &paged[2]["stripe_customer"]), (&json!("free"), &Value::Null));
    for wrong in ["limit=0", "limit=1001", "cursor=x", "status=happy", "teir=pro"] {
        let reply = world.admin(Method::GET, &format!("/admin/customers?{wrong}"), Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_is_shown_as_they_see_themselves_and_what_operators_see_beside() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("org/7", "pro").await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    let shown = world.shown("/admin/customers/org%2F7").await;
    let status = customer.status().await;
    for (key, value) in status.as_object().expect("an object") {
        assert_eq!(&shown[key], value, "{key}");
    }
    assert_eq!(
        (&shown["stripe_customer"], &shown["billed_tier"], &shown["blocked"]),
        (&json!(subscribed.customer), &json!("pro"), &Value::Null)
    );
    let subscription = &shown["subscriptions"][0];
    assert_eq!(
        (&subscription["id"], &subscription["status"], &subscription["tier"]),
        (&json!(subscribed.subscription), &json!("active"), &json!("pro"))
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_shown_by_route_day_and_hour() {
    let world = World::start().await;
    let (acme, other) = (world.customer("acme"), world.customer("other"));
    for path in ["/signals", "/signals", "/export/pdf"] {
        assert_eq!((acme.get(path).await.status, other.get("/signals").await.status), (200, 200));
    }
    let path = "/admin/customers/acme/usage";
    until("it is folded", PATIENCE, async || {
        let units: i64 = rows(&world.shown(path).await).iter().filter_map(|row| row["units"].as_i64()).sum();
        (units == 7).then_some(())
    })
    .await;
    assert_eq!(
        rows(&world.shown(&format!("{path}?by=route")).await),
        &[
            json!({ "route": "/export/pdf", "meter": "api_calls", "units": 5, "requests": 1 }),
            json!({ "route": "/signals", "meter": "api_calls", "units": 2, "requests": 2 }),
        ]
    );
    let csv = world.admin(Method::GET, &format!("{path}?by=route&format=csv"), Some(ADMIN_TOKEN)).await;
    assert_eq!((csv.status, csv.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    assert_eq!(
        csv.text(),
        "route,meter,units,requests\r\n/export/pdf,api_calls,5,1\r\n/signals,api_calls,2,2\r\n"
    );
    for (by, length) in [("day", 10), ("hour", 20)] {
        let list = world.shown(&format!("{path}?by={by}")).await;
        let sum: i64 = rows(&list).iter().filter_map(|row| row["units"].as_i64()).sum();
        assert_eq!(sum, 7, "{list}");
        assert!(each(&list, by).iter().all(|instant| instant.len() == length), "{list}");
    }
    let before = world.shown(&format!("{path}?from=2020-01-01&to=2020-02-01T00:00:00Z")).await;
    assert!(rows(&before).is_empty());
    for wrong in ["by=month", "format=xml", "from=soon", "from=2020-02-01&to=2020-01-01", "form=2020-01-01"] {
        let reply = world.admin(Method::GET, &format!("{path}?{wrong}"), Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    world.finish().await;
}
