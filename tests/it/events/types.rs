//! The types that mean something, each by what it changes.

use rusqlite::Connection;
use serde_json::json;
use tollgate::sandbox::EventShape;

use super::{applied, books, deliver_all, event, of_kind, pack_session, pay};
use crate::harness::{PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_named_at_stripe_is_linked_and_a_link_is_never_replaced() {
    let world = World::builder().without_webhooks().start().await;
    let first = world.stripe.post("/v1/customers", &[("metadata[tollgate_customer]", "named")]).await;
    world.stripe.post("/v1/customers", &[("metadata[tollgate_customer]", "named")]).await;
    world.stripe.post("/v1/customers", &[("email", "nobody@example.com")]).await;
    let created = of_kind(&world, "customer.created").await;
    assert_eq!(created.len(), 3);
    deliver_all(&world, &created).await;
    let linked = books::texts(&world, "SELECT name || ' ' || stripe_customer FROM customers");
    assert_eq!(linked, [format!("named {}", first["id"].as_str().expect("an id"))]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_named_later_is_known_at_once_by_what_was_bought_before() {
    let world = World::builder().without_webhooks().start().await;
    let subscribed = world.stripe.subscribe("pro", None);
    deliver_all(&world, &world.stripe.events().await).await;
    assert!(books::texts(&world, "SELECT name FROM customers").is_empty());
    let path = format!("/v1/customers/{}", subscribed.customer);
    world.stripe.post(&path, &[("metadata[tollgate_customer]", "named")]).await;
    deliver_all(&world, &of_kind(&world, "customer.updated").await).await;
    let known = books::texts(&world, "SELECT name || ' ' || tier || ' ' || status FROM customers");
    assert_eq!(known, ["named pro active"]);
    assert_eq!(books::told(&world, "tier.changed"), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_deleted_at_stripe_keeps_the_link_and_loses_the_tier() {
    let world = World::builder().without_webhooks().start().await;
    let (customer, subscribed) = world.subscriber("leaver", "pro").await;
    world.stripe.delete(&format!("/v1/customers/{}", subscribed.customer)).await;
    deliver_all(&world, &of_kind(&world, "customer.deleted").await).await;
    customer.until_status("tier", "free").await;
    assert_eq!(customer.status().await["status"], "canceled");
    let linked = books::texts(&world, "SELECT stripe_customer FROM customers");
    assert_eq!(linked, std::slice::from_ref(&subscribed.customer));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_will_end_is_told_once() {
    let world = World::builder().without_webhooks().start().await;
    world.customer("trier").status().await;
    let form = [
        ("mode", "subscription"),
        ("client_reference_id", "trier"),
        ("success_url", "http://127.0.0.1/thanks"),
        ("line_items[0][price]", "price_it_pro_monthly"),
        ("line_items[0][quantity]", "1"),
        ("line_items[1][price]", "price_it_pro_api_calls"),
        ("subscription_data[trial_period_days]", "7"),
    ];
    let session = world.stripe.post("/v1/checkout/sessions", &form).await;
    let session = session["id"].as_str().expect("an id");
    pay(&world, session, json!({})).await;
    let session = world.stripe.get(&format!("/v1/checkout/sessions/{session}")).await;
    let subscription = session["subscription"].as_str().expect("an id");
    deliver_all(&world, &world.stripe.events().await).await;
    for _ in 0..2 {
        world.stripe.hook(&format!("subscriptions/{subscription}/trial_will_end"), json!({})).await;
    }
    let tellings = of_kind(&world, "customer.subscription.trial_will_end").await;
    assert!(tellings.len() >= 2);
    deliver_all(&world, &tellings).await;
    assert_eq!(books::told(&world, "trial.ending"), 1);
    let told = books::texts(&world, "SELECT data FROM notices WHERE kind = 'trial.ending'");
    let told: serde_json::Value = serde_json::from_str(&told[0]).expect("JSON");
    assert_eq!((&told["customer"], &told["status"]), (&json!("trier"), &json!("trialing")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_what_is_sold_elsewhere_is_told_to_nobody() {
    let world = World::builder().without_webhooks().start().await;
    let product = world.stripe.post("/v1/products", &[("name", "Something else")]).await;
    let price = [
        ("currency", "usd"),
        ("product", product["id"].as_str().expect("an id")),
        ("recurring[interval]", "month"),
        ("unit_amount", "100"),
    ];
    let price = world.stripe.post("/v1/prices", &price).await;
    let customer = world.stripe.post("/v1/customers", &[("metadata[tollgate_customer]", "elsewhere")]).await;
    let order = [
        ("customer", customer["id"].as_str().expect("an id")),
        ("items[0][price]", price["id"].as_str().expect("an id")),
        ("trial_period_days", "2"),
    ];
    let subscription = world.stripe.post("/v1/subscriptions", &order).await;
    let id = subscription["id"].as_str().expect("an id");
    world.stripe.post(&format!("/v1/subscriptions/{id}"), &[("cancel_at_period_end", "true")]).await;
    world.stripe.hook(&format!("subscriptions/{id}/upcoming"), json!({})).await;
    world.stripe.hook(&format!("subscriptions/{id}/trial_will_end"), json!({})).await;
    deliver_all(&world, &world.stripe.events().await).await;
    let known = books::texts(&world, "SELECT name || ' ' || status FROM customers");
    assert_eq!(known, ["elsewhere trialing"]);
    let told = "SELECT kind FROM notices WHERE kind IN ('trial.ending', 'subscription.expiring')";
    assert_eq!(books::texts(&world, told), [""; 0]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_invoice_usage_is_sent_and_a_subscription_that_ends_with_it_is_told() {
    let world =
        World::builder().without_webhooks().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("ending", "pro").await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let near = async || {
        let path = format!("subscriptions/{}/upcoming", subscribed.subscription);
        world.stripe.hook(&path, json!({})).await;
        let near = of_kind(&world, "invoice.upcoming").await;
        deliver_all(&world, &near[near.len() - 1..]).await;
    };
    near().await;
    until("the usage is sent", PATIENCE, async || {
        (world.stripe.units_of(&subscribed.customer).await == 1).then_some(())
    })
    .await;
    assert_eq!(books::told(&world, "subscription.expiring"), 0);
    let path = format!("/v1/subscriptions/{}", subscribed.subscription);
    world.stripe.post(&path, &[("cancel_at_period_end", "true")]).await;
    near().await;
    near().await;
    assert_eq!(books::told(&world, "subscription.expiring"), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_entitlements_makes_the_subscriptions_be_read_again() {
    let world = World::builder().without_webhooks().start().await;
    let (customer, subscribed) = world.subscriber("entitled", "pro").await;
    world.stripe.set_status(&subscribed.subscription, "unpaid").await;
    let object =
        json!({ "object": "entitlements.active_entitlement_summary", "customer": subscribed.customer });
    let news = event("evt_entitled", "entitlements.active_entitlement_summary.updated", &object);
    deliver_all(&world, &[news]).await;
    assert_eq!(customer.status().await["status"], "unpaid");
    world.finish().await;
}

/// A checkout that was begun here, as its row says.
fn begun(world: &World, session: &str, units: u32) {
    let db = Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
    db.busy_timeout(PATIENCE).expect("a store");
    let row = "INSERT INTO checkouts (session, customer, kind, what, units, request, at, expires_at)
               VALUES (?1, 1, 'credits', 'small', ?2, zeroblob(32), 0, 0)";
    db.execute(row, rusqlite::params![session, units]).expect("a row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_over_is_closed_and_what_was_sold_is_what_counts() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("shopper");
    customer.status().await;
    let state = |session: &str| {
        books::texts(&world, &format!("SELECT state FROM checkouts WHERE session = '{session}'"))
    };
    let expired = pack_session(&world, "shopper", "1").await;
    begun(&world, &expired, 1);
    world.stripe.post(&format!("/v1/checkout/sessions/{expired}/expire"), &[]).await;
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!(state(&expired), ["expired"]);
    let paid = pack_session(&world, "shopper", "5").await;
    begun(&world, &paid, 300);
    pay(&world, &paid, json!({ "session_first": true })).await;
    let completed = of_kind(&world, "checkout.session.completed").await;
    deliver_all(&world, &completed).await;
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!((state(&paid), books::grants(&world)), (vec!["completed".to_owned()], vec![300]));
    for (outcome, count) in [("completed", 1), ("expired", 1)] {
        let line = format!("tollgate_checkouts_total{{outcome=\"{outcome}\"}}");
        assert_eq!(world.metric(&line).await, Some(count), "{outcome}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_an_older_shape_of_stripes_api_mean_the_same() {
    let config = "[tiers.pro]\ncredits_per_cycle = 500";
    let world = World::builder().event_shape(EventShape::PreBasil).config(config).start().await;
    let (customer, _) = world.subscriber("oldster", "pro").await;
    applied(&world).await;
    until("the credits are there", PATIENCE, async || {
        (customer.status().await["credits"] == 500).then_some(())
    })
    .await;
    assert_eq!(books::payments(&world), ["succeeded invoice 9900 0 1"]);
    world.finish().await;
}
