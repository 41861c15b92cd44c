//! `GET /billing/usage`.

use serde_json::{Value, json};

use super::{done, shop};
use crate::harness::{PATIENCE, until};

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_summed_by_route_day_and_hour() {
    let world = shop().await;
    let customer = world.customer("user");
    for path in ["/signals", "/signals", "/export/pdf"] {
        customer.get(path).await;
    }
    world.customer("other").get("/export/csv").await;
    world.flush().await;
    let by_route = json!([
        { "route": "/export/pdf", "meter": "api_calls", "units": 5, "requests": 1 },
        { "route": "/signals", "meter": "api_calls", "units": 2, "requests": 2 },
    ]);
    until("all usage is folded", PATIENCE, async || {
        (done(&customer.get("/billing/usage?by=route").await)["data"] == by_route).then_some(())
    })
    .await;
    for (by, length) in [("day", 10), ("hour", 20)] {
        let rows = done(&customer.get(&format!("/billing/usage?by={by}")).await)["data"].clone();
        let rows = rows.as_array().expect("rows");
        let sum = |field: &str| rows.iter().map(|row| row[field].as_i64().expect("a number")).sum::<i64>();
        assert_eq!((sum("units"), sum("requests")), (7, 3), "{rows:?}");
        assert!(rows.iter().all(|row| row[by].as_str().is_some_and(|at| at.len() == length)), "{rows:?}");
    }
    let csv = customer.get("/billing/usage?by=route&format=csv").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        csv.text(),
        "route,meter,units,requests\r\n/export/pdf,api_calls,5,1\r\n/signals,api_calls,2,2\r\n"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_half_open_and_nonsense_is_refused() {
    let world = shop().await;
    let customer = world.customer("user");
    customer.get("/signals").await;
    world.flush().await;
    let rows = async |query: &str| -> Value {
        done(&customer.get(&format!("/billing/usage?{query}")).await)["data"].clone()
    };
    until("the usage is folded", PATIENCE, async || (rows("by=hour").await != json!([])).then_some(())).await;
    let hour = rows("by=hour").await[0]["hour"].as_str().expect("an hour").to_owned();
    let within = hour.replace(":00:00Z", ":30:00Z");
    assert_ne!(rows(&format!("by=hour&from={within}")).await, json!([]), "the hour counts whole");
    assert_eq!(rows(&format!("by=hour&from=2020-01-01&to={hour}")).await, json!([]), "its end is not in it");
    assert_ne!(rows("by=day&from=2020-01-01&to=2999-01-01T00:00:00Z").await, json!([]));
    for wrong in
        ["by=week", "format=xml", "from=yesterday", "to=1", "from=2020-02-01&to=2020-01-01", "customer=other"]
    {
        let reply = customer.get(&format!("/billing/usage?{wrong}")).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    world.finish().await;
}
