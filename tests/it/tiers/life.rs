//! With no price id in the file: bought, used, upgraded, and kept when its price is replaced.

use http::Method;
use serde_json::{Value, json};

use super::{done, price, tiers};
use crate::harness::{CheckoutPage, Customer, World, rfc3339};

const SELLING: &str = r#"
    [tiers.starter]
    [tiers.pro]
    [tiers.team]
    price = { monthly = "29" }
    included = { api_calls = 3 }
    overage = { unit_amount = { api_calls = "0.03" } }
    [tiers.max]
    price = { monthly = "99", yearly = "990" }
    features = ["premium"]
    included = { api_calls = 10000 }
    overage = { unit_amount = { api_calls = "0.0007" } }
    [billing]
    return_origins = ["https://app.example"]
"#;

async fn post(customer: &Customer, path: &str, body: &Value) -> Value {
    let reply = customer.ask(Method::POST, path, |request| request.json(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn subscription(world: &World) -> Value {
    world.stripe.get("/v1/subscriptions").await["data"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_price_id_in_the_file_a_tier_is_bought_used_billed_upgraded_and_kept() {
    let world = World::builder().config(SELLING).start().await;
    let customer = world.customer("acme");
    let order = json!({ "tier": "team", "cycle": "monthly", "success_url": "https://app.example/thanks" });
    let early = customer.ask(Method::POST, "/billing/checkout", |request| request.json(&order)).await;
    assert_eq!(
        early.refusal(),
        (422, "unprocessable".to_owned()),
        "Stripe has no price yet, and the gateway runs"
    );
    done(&tiers(&world.gateway.config, &["apply", "--yes"]));

    let session = post(&customer, "/billing/checkout", &order).await;
    CheckoutPage::open(session["url"].as_str().expect("a page")).await.pay().await;
    customer.until_status("tier", "team").await;
    let bought = subscription(&world).await;
    let items = bought["items"]["data"].as_array().expect("items");
    let keys: Vec<_> = items.iter().map(|item| item["price"]["lookup_key"].clone()).collect();
    assert_eq!(keys, [json!("tollgate_team_monthly"), json!("tollgate_team_api_calls")]);
    let end = items[1]["current_period_end"].as_i64().expect("an end");
    assert_eq!(customer.status().await["period"]["end"], json!(rfc3339(end)), "of the metered item");
    for _ in 0..5 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    world.drain().await;
    let preview = [("subscription", bought["id"].as_str().expect("an id"))];
    let preview = world.stripe.post("/v1/invoices/create_preview", &preview).await;
    assert_eq!(preview["total"], 2_900 + 2 * 3);

    let dearer = "[tiers.team]\nprice = { monthly = \"39\" }";
    world.reconfigure(dearer).await;
    let by_hand = tiers(&world.gateway.config, &["apply", "--yes"]);
    assert_eq!(by_hand.code, Some(1), "{}", by_hand.stdout);
    done(&tiers(&world.gateway.config, &["apply", "--yes", "--replace"]));
    let id = bought["id"].as_str().expect("an id");
    world.stripe.post(&format!("/v1/subscriptions/{id}"), &[("metadata[note]", "seen")]).await;
    let old = &subscription(&world).await["items"]["data"][0]["price"];
    assert_eq!(
        (&old["lookup_key"], &old["unit_amount"]),
        (&Value::Null, &json!(2_900)),
        "they pay what they paid"
    );
    let synced = world.operate("/admin/customers/acme/sync", &json!({})).await;
    assert_eq!(synced.status, 200, "{}", synced.text());
    assert_eq!(customer.status().await["tier"], "team", "the old price goes on standing for the tier");

    post(&customer, "/billing/upgrade", &json!({ "tier": "max", "cycle": "yearly" })).await;
    customer.until_status("tier", "max").await;
    let upgraded = subscription(&world).await;
    let items = upgraded["items"]["data"].as_array().expect("items");
    let mut keys: Vec<_> = items.iter().map(|item| item["price"]["lookup_key"].to_string()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["\"tollgate_max_api_calls\"", "\"tollgate_max_yearly\""],
        "no item of the old tier is left"
    );
    assert_eq!(
        price(&world.stripe, "tollgate_team_monthly").await["unit_amount"],
        3_900,
        "who comes now pays this"
    );
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.finish().await;
}

/// Who pays for team, and the metered item of the subscription.
async fn buyer(world: &World, name: &str) -> (Customer, String, String) {
    let customer = world.customer(name);
    let order = json!({ "tier": "team", "cycle": "monthly", "success_url": "https://app.example/thanks" });
    let session = post(&customer, "/billing/checkout", &order).await;
    CheckoutPage::open(session["url"].as_str().expect("a page")).await.pay().await;
    customer.until_status("tier", "team").await;
    let bought = subscription(world).await;
    let id = |object: &Value| object["id"].as_str().expect("an id").to_owned();
    (customer, id(&bought), id(&bought["items"]["data"][1]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_of_who_pays_an_old_metered_price_is_another_than_they_are_shown_unless_they_are_moved() {
    let world = World::builder().config(SELLING).start().await;
    done(&tiers(&world.gateway.config, &["apply", "--yes"]));
    let old = price(&world.stripe, "tollgate_team_api_calls").await;
    let stays = buyer(&world, "stays").await;
    let moves = buyer(&world, "moves").await;

    world.configure(
        "[tiers.team]\nincluded = { api_calls = 5 }\noverage = { unit_amount = { api_calls = \"0.05\" } }",
    );
    let replaced = tiers(&world.gateway.config, &["apply", "--yes", "--replace"]);
    let said = "move their subscriptions to the new one before the configuration is in force";
    assert!(done(&replaced).contains(said), "{}", replaced.stdout);
    let new = price(&world.stripe, "tollgate_team_api_calls").await;
    assert_eq!(new["product"], old["product"]);
    let new = new["id"].as_str().expect("an id");
    let (_, id, item) = &moves;
    let form = [("items[0][id]", item.as_str()), ("items[0][price]", new), ("proration_behavior", "none")];
    world.stripe.post(&format!("/v1/subscriptions/{id}"), &form).await;
    world.reloaded().await;

    for ((customer, id, _), total) in [(&stays, 2_900 + 4 * 3), (&moves, 2_900 + 2 * 5)] {
        assert_eq!(customer.status().await["tier"], "team");
        for _ in 0..7 {
            assert_eq!(customer.get("/signals").await.charged(), 1);
        }
        assert_eq!(customer.status().await["usage"]["api_calls"]["overage_amount"], "0.10");
        world.drain().await;
        let preview = world.stripe.post("/v1/invoices/create_preview", &[("subscription", id)]).await;
        assert_eq!(preview["total"], total);
    }
    world.finish().await;
}
