//! A tier is not sold without the prices that bill what it charges.

use http::Method;
use serde_json::{Value, json};

use super::{done, tiers};
use crate::harness::{CheckoutPage, Customer, World};

/// Charges bytes, and no calls.
const BYTES: &str = r#"
    routes = [{ path = "/signals", cost = { api_calls = 1, bytes = 3 } }]
    [meters.bytes]
    stripe_event_name = "bytes_sent"
    [tiers.free]
    included = { api_calls = 100, bytes = 100 }
    [tiers.starter]
    [tiers.pro]
    [tiers.team]
    price = { monthly = "29" }
    included = { api_calls = 1000, bytes = 1000 }
    overage = { unit_amount = { api_calls = "0", bytes = "0.01" } }
    [billing]
    return_origins = ["https://app.example"]
"#;

/// The page to pay `team` on, or the status of the refusal.
async fn buys(customer: &Customer) -> Result<String, u16> {
    let order = json!({ "tier": "team", "cycle": "monthly", "success_url": "https://app.example/thanks" });
    let reply = customer.ask(Method::POST, "/billing/checkout", |request| request.json(&order)).await;
    if reply.status != 200 {
        return Err(reply.status);
    }
    Ok(reply.json()["url"].as_str().expect("a page").to_owned())
}

/// A price of bytes.
async fn metered_price(world: &World, meter: &Value, more: &[(&str, &str)]) -> String {
    let form = [
        ("product_data[name]", "Bytes"),
        ("currency", "usd"),
        ("unit_amount", "1"),
        ("recurring[interval]", "month"),
        ("recurring[usage_type]", "metered"),
        ("recurring[meter]", meter["id"].as_str().expect("an id")),
    ];
    let price = world.stripe.post("/v1/prices", &[&form, more].concat()).await;
    price["id"].as_str().expect("an id").to_owned()
}

async fn meter(world: &World, event_name: &str) -> Value {
    let form =
        [("display_name", event_name), ("event_name", event_name), ("default_aggregation[formula]", "sum")];
    world.stripe.post("/v1/billing/meters", &form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_of_another_meter_does_not_stand_for_that_of_the_one_that_is_charged_now() {
    let world = World::builder().config(BYTES).start().await;
    let customer = world.customer("acme");
    done(&tiers(&world.gateway.config, &["apply", "--yes"]));
    buys(&customer).await.expect("Stripe has all that the file charges");
    world
        .reconfigure("[tiers.team]\noverage = { unit_amount = { api_calls = \"0.03\", bytes = \"0\" } }")
        .await;
    assert_eq!(buys(&customer).await, Err(422), "calls beyond the included ones would cost nothing");
    let applied = tiers(&world.gateway.config, &["apply", "--yes"]);
    assert!(applied.stdout.contains("made 1/1: price tollgate_team_api_calls"), "{}", applied.stdout);
    buys(&customer).await.expect("Stripe has the price of calls");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_counts_events_of_an_earlier_name_is_not_sold_unless_the_file_names_it() {
    let world = World::builder().config(BYTES).start().await;
    let customer = world.customer("acme");
    let (earlier, now) = (meter(&world, "bytes").await, meter(&world, "bytes_sent").await);
    let stale = metered_price(&world, &earlier, &[("lookup_key", "tollgate_team_bytes")]).await;
    assert_eq!(tiers(&world.gateway.config, &["apply", "--yes"]).code, Some(1), "one is to be replaced");
    assert_eq!(buys(&customer).await, Err(422), "no price counts what is reported");

    let own = metered_price(&world, &now, &[]).await;
    let naming = |ids: &[&String]| format!("[tiers.team]\nstripe_prices = {ids:?}");
    for (named, sold) in [(&[&own][..], vec![&own]), (&[&stale, &own], vec![&stale, &own])] {
        world.reconfigure(&naming(named)).await;
        let buyer = world.customer(&format!("buyer-{}", named.len()));
        CheckoutPage::open(&buys(&buyer).await.expect("it is sold")).await.pay().await;
        buyer.until_status("tier", "team").await;
        let bought = world.stripe.get("/v1/subscriptions").await["data"][0]["items"]["data"].clone();
        let items = bought.as_array().expect("items").iter();
        let metered = items.filter(|item| !item["price"]["recurring"]["meter"].is_null());
        let mut metered: Vec<_> = metered.map(|item| item["price"]["id"].as_str().expect("an id")).collect();
        metered.sort_unstable();
        let mut sold: Vec<_> = sold.into_iter().map(String::as_str).collect();
        sold.sort_unstable();
        assert_eq!(metered, sold);
    }

    world.reconfigure(&naming(&[])).await;
    assert_eq!(buys(&customer).await, Err(422));
    done(&tiers(&world.gateway.config, &["apply", "--yes", "--replace"]));
    buys(&customer).await.expect("the new price counts what is reported");
    world.finish().await;
}
