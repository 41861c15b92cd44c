//! Buying on Stripe's page.

use serde_json::json;

use super::{SELLING, done, made_for, order, post, rows, shop, text};
use crate::harness::{CheckoutPage, PATIENCE, World, until};

const PRO: &str = "price_it_pro_monthly";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_leads_to_the_open_page_and_another_closes_it() {
    let world = shop().await;
    let customer = world.customer("chooser");
    let first = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    let again = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    assert_eq!(first, again, "one open page");
    let other = done(&post(&customer, "/billing/checkout", &order("starter")).await);
    assert_ne!(first["session_id"], other["session_id"]);
    let sessions = rows(&world, "/v1/checkout/sessions").await;
    let open: Vec<_> = sessions.iter().filter(|session| session["status"] == "open").collect();
    assert_eq!(open.len(), 1, "nobody can pay for two tiers: {sessions:?}");
    assert_eq!(open[0]["id"], other["session_id"]);
    assert_eq!(made_for(&world, "chooser").await.len(), 1, "one customer at Stripe");
    CheckoutPage::open(text(&other["url"])).await.pay().await;
    customer.until_status("tier", "starter").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_cannot_buy_a_second_subscription_even_before_the_news_of_the_first() {
    let world = World::builder().config(SELLING).without_webhooks().start().await;
    let customer = world.customer("eager");
    let session = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    CheckoutPage::open(text(&session["url"])).await.pay().await;
    assert_eq!(customer.status().await["tier"], "free", "no news has come");
    let second = post(&customer, "/billing/checkout", &order("starter")).await;
    assert_eq!(second.refusal(), (409, "already_subscribed".to_owned()));
    assert_eq!(customer.status().await["tier"], "pro", "what was read is in force");
    let again = post(&customer, "/billing/checkout", &order("starter")).await;
    assert_eq!(again.refusal(), (409, "already_subscribed".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_bought_beside_metered_usage_by_the_month() {
    let world = shop().await;
    let customer = world.customer("planner");
    let mut yearly = order("pro");
    yearly["cycle"] = json!("yearly");
    let session = done(&post(&customer, "/billing/checkout", &yearly).await);
    CheckoutPage::open(text(&session["url"])).await.pay().await;
    customer.until_status("tier", "pro").await;
    let subscription = &rows(&world, "/v1/subscriptions").await[0];
    let items = subscription["items"]["data"].as_array().expect("items");
    let mut prices: Vec<_> = items.iter().map(|item| text(&item["price"]["id"])).collect();
    prices.sort_unstable();
    assert_eq!(prices, ["price_it_pro_api_calls", "price_it_pro_yearly"]);
    let mut unsold = order("starter");
    unsold["cycle"] = json!("yearly");
    let unsold = post(&world.customer("other"), "/billing/checkout", &unsold).await;
    assert_eq!(unsold.refusal(), (422, "unprocessable".to_owned()), "starter has no yearly price");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_given_once() {
    let trial = "[tiers.pro]\ntrial = \"14d\"";
    let world = World::builder().config(SELLING).config(trial).start().await;
    let customer = world.customer("taster");
    let session = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    CheckoutPage::open(text(&session["url"])).await.pay().await;
    customer.until_status("status", "trialing").await;
    let status = done(&post(&customer, "/billing/cancel", &json!({ "at_period_end": false })).await);
    assert_eq!((&status["tier"], &status["status"]), (&json!("free"), &json!("canceled")));
    let session = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    CheckoutPage::open(text(&session["url"])).await.pay().await;
    customer.until_status("tier", "pro").await;
    assert_eq!(customer.status().await["status"], "active", "no second trial");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_credits_is_one_payment_that_names_who_bought_what() {
    let world = shop().await;
    let customer = world.customer("saver");
    let pack = json!({ "credits": "small", "success_url": "https://app.example/thanks" });
    let made = done(&post(&customer, "/billing/checkout", &pack).await);
    let path = format!("/v1/checkout/sessions/{}", text(&made["session_id"]));
    let session = world.stripe.get(&path).await;
    assert_eq!((&session["mode"], &session["amount_total"]), (&json!("payment"), &json!(1_000)));
    assert_eq!(session["client_reference_id"], "saver");
    assert_eq!(
        session["metadata"],
        json!({ "tollgate_customer": "saver", "tollgate_pack": "small", "tollgate_units": "1000" })
    );
    CheckoutPage::open(text(&made["url"])).await.pay().await;
    until("the session is paid", PATIENCE, async || {
        (world.stripe.get(&path).await["payment_status"] == "paid").then_some(())
    })
    .await;
    // A subscriber may buy credits too, and a tier is another page than a pack.
    let tier = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    let more = done(&post(&customer, "/billing/checkout", &pack).await);
    let sessions = rows(&world, "/v1/checkout/sessions").await;
    let open = sessions.iter().filter(|session| session["status"] == "open").map(|session| &session["id"]);
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|id| id.as_str());
    let mut made = [&tier["session_id"], &more["session_id"]];
    made.sort_by_key(|id| id.as_str());
    assert_eq!(open, made);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_bought_is_said_plainly() {
    let world = shop().await;
    let customer = world.customer("asker");
    let url = "https://app.example/";
    for (body, status, code) in [
        (json!({ "tier": "platinum", "success_url": url }), 422, "unprocessable"),
        (json!({ "tier": "free", "success_url": url }), 422, "unprocessable"),
        (json!({ "tier": "pro", "cycle": "weekly", "success_url": url }), 422, "unprocessable"),
        (json!({ "tier": "pro" }), 422, "unprocessable"),
        (json!({ "credits": "huge", "success_url": url }), 422, "unprocessable"),
        (json!({ "tier": "pro", "credits": "small", "success_url": url }), 422, "unprocessable"),
        (json!({ "success_url": url }), 422, "unprocessable"),
        (json!({ "tier": 7, "success_url": url }), 400, "bad_request"),
        (json!(["pro"]), 400, "bad_request"),
    ] {
        let reply = post(&customer, "/billing/checkout", &body).await;
        assert_eq!(reply.refusal(), (status, code.to_owned()), "{body}");
    }
    let send = async |kind: &str, body: &'static str| {
        let asked = customer.ask(http::Method::POST, "/billing/checkout", |request| {
            request.header("content-type", kind).body(body)
        });
        asked.await.refusal()
    };
    assert_eq!(send("application/json", "{\"tier\":").await, (400, "bad_request".to_owned()));
    assert_eq!(send("text/plain", "{}").await, (415, "unsupported_media_type".to_owned()));
    assert!(rows(&world, "/v1/checkout/sessions").await.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_in_another_currency_is_not_sold() {
    let euros = "[tiers.euro]\nprice = { monthly = \"9.00\" }\nincluded = { api_calls = 10 }";
    let world = World::builder().config(SELLING).config(euros).start().await;
    let product = world.stripe.post("/v1/products", &[("name", "Euro")]).await;
    let price = [
        ("product", text(&product["id"])),
        ("currency", "eur"),
        ("recurring[interval]", "month"),
        ("unit_amount", "900"),
        ("lookup_key", "tollgate_euro_monthly"),
    ];
    world.stripe.post("/v1/prices", &price).await;
    let reply = post(&world.customer("european"), "/billing/checkout", &order("euro")).await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_expired_makes_way_for_a_new_one() {
    let world = shop().await;
    let customer = world.customer("late");
    let first = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    world.stripe.post(&format!("/v1/checkout/sessions/{}/expire", text(&first["session_id"])), &[]).await;
    let second = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    assert_ne!(first["session_id"], second["session_id"]);
    CheckoutPage::open(text(&second["url"])).await.pay().await;
    customer.until_status("tier", "pro").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_at_stripe_itself_is_seen_before_another_is_sold_here() {
    let world = World::builder().config(SELLING).without_webhooks().start().await;
    let customer = world.customer("known");
    let session = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    world.stripe.post(&format!("/v1/checkout/sessions/{}/expire", text(&session["session_id"])), &[]).await;
    let at_stripe = &made_for(&world, "known").await[0];
    world.stripe.post("/v1/subscriptions", &[("customer", at_stripe), ("items[0][price]", PRO)]).await;
    let reply = post(&customer, "/billing/checkout", &order("starter")).await;
    assert_eq!(reply.refusal(), (409, "already_subscribed".to_owned()));
    assert_eq!(customer.status().await["tier"], "pro");
    world.finish().await;
}
