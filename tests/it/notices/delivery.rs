//! How messages travel.

use http::Method;
use serde_json::{Value, json};

use super::{store, told};
use crate::harness::listener::Turn;
use crate::harness::{ADMIN_TOKEN, Listener, PATIENCE, World, until};

async fn log(world: &World, query: &str) -> Value {
    let reply = world.admin(Method::GET, &format!("/admin/notices{query}"), Some(ADMIN_TOKEN)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["data"].clone()
}

/// Waits until the only delivery is in a state, with no pause between tries.
async fn until_state(world: &World, state: &str) -> Value {
    until(&format!("a delivery is {state}"), PATIENCE, async || {
        let due = "UPDATE deliveries SET next_try_at = 0 WHERE state = 'pending'";
        store(world).execute(due, []).expect("deliveries");
        let found = log(world, &format!("?state={state}")).await;
        found.get(0).map(|notice| notice["deliveries"][0].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_tier_is_told_once_and_signed() {
    let (world, listener) = told("").await;
    let (_, subscribed) = world.subscriber("acme", "pro").await;
    let told = listener.hears("tier.changed", 1).await.remove(0);
    assert_eq!(told.json["data"]["customer"], "acme");
    assert_eq!((&told.json["data"]["tier"], &told.json["data"]["status"]), (&json!("pro"), &json!("active")));
    assert!(told.json["id"].as_str().is_some_and(|id| id.starts_with("tg-")), "{}", told.json);
    assert!(told.json["created"].is_i64(), "{}", told.json);
    for event in world.stripe.events().await {
        assert_eq!(world.deliver(&event).await.status, 200);
    }
    world.stripe.set_status(&subscribed.subscription, "canceled").await;
    let told = listener.hears("tier.changed", 2).await.remove(1);
    assert_eq!(
        (&told.json["data"]["tier"], &told.json["data"]["previous_tier"]),
        (&json!("free"), &json!("pro"))
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_on_the_default_tier_from_the_start_has_changed_from_it_and_not_to_it() {
    let (world, listener) = told("").await;
    let created = world.stripe.post("/v1/customers", &[("email", "acme@example.com")]).await;
    let stripe_customer = created["id"].as_str().expect("an id");
    assert_eq!(world.claiming("acme", Some(stripe_customer)).get("/signals").await.status, 200);
    let read = world.operate("/admin/customers/acme/sync", &json!({})).await;
    assert_eq!(read.json(), json!({ "synced": 0, "failed": 0 }));
    for table in ["notices", "state_changes"] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = store(&world).query_row(&count, [], |row| row.get(0)).expect("a count");
        assert_eq!(rows, 0, "{table}: nothing has changed");
    }
    let order = [("customer", stripe_customer), ("items[0][price]", "price_it_pro_monthly")];
    world.stripe.post("/v1/subscriptions", &order).await;
    let told = listener.data_of("tier.changed").await;
    assert_eq!((&told["previous_tier"], &told["tier"]), (&json!("free"), &json!("pro")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_gets_the_types_that_it_wants() {
    let (all, graces, none) = (Listener::start().await, Listener::start().await, Listener::start().await);
    let config = [
        all.wants("all", &["*"]),
        graces.wants("graces", &["grace.started", "grace.ending"]),
        none.wants("none", &["credits.low"]),
    ];
    let world = World::builder().config(&config.concat()).start().await;
    let (_, subscribed) = world.subscriber("acme", "pro").await;
    world.stripe.hook(&format!("subscriptions/{}/payment_failed", subscribed.subscription), json!({})).await;
    assert_eq!(graces.data_of("grace.started").await["status"], "past_due");
    all.hears("grace.started", 1).await;
    all.hears("tier.changed", 1).await;
    assert_eq!(graces.messages().len(), 1);
    assert_eq!(none.messages().len(), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_again_until_it_is_taken_and_no_redirect_is_followed() {
    let (world, listener) = told("").await;
    let elsewhere = Listener::start().await;
    listener.answers([Turn::Status(500), Turn::Redirect(elsewhere.url.clone()), Turn::Status(404)]);
    world.subscriber("acme", "pro").await;
    let delivery = until_state(&world, "delivered").await;
    assert_eq!((&delivery["tries"], &delivery["answer"]), (&json!(4), &json!("answered 200")));
    let told = listener.hears("tier.changed", 4).await;
    assert!(told.iter().all(|message| message.body == told[0].body), "the same id and body each time");
    assert_eq!(elsewhere.messages().len(), 0);
    for (outcome, count) in [("delivered", 1), ("retried", 3), ("failed", 0)] {
        let line = format!("tollgate_notices_total{{outcome=\"{outcome}\",type=\"tier.changed\"}}");
        assert_eq!(world.metric(&line).await, Some(count), "{outcome}");
    }
    until("nothing is pending", PATIENCE, async || {
        (world.metric("tollgate_notices_pending").await == Some(0)).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_taken_is_given_up_and_sent_again_when_an_operator_asks() {
    let (world, listener) = told("").await;
    listener.answers(vec![Turn::Status(503); 9]);
    world.subscriber("acme", "pro").await;
    let delivery = until_state(&world, "failed").await;
    assert_eq!((&delivery["tries"], &delivery["answer"]), (&json!(8), &json!("answered 503")));
    assert_eq!(listener.messages().len(), 8);
    let id = log(&world, "?type=tier.changed").await[0]["id"].clone();
    let again = format!("/admin/notices/{id}/crm/retry");
    let retried = world.operate(&again, &json!({})).await;
    assert_eq!(retried.json(), json!({ "retried": 1 }));
    until_state(&world, "delivered").await;
    assert_eq!(listener.messages().len(), 10, "the ninth was refused as well");
    assert_eq!(world.operate(&again, &json!({})).await.refusal(), (409, "conflict".to_owned()));
    for path in ["/admin/notices/999/crm/retry", "/admin/notices/x/crm/retry"] {
        assert_eq!(world.operate(path, &json!({})).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let all = world.operate("/admin/notices/retry", &json!({ "target": "crm" })).await;
    assert_eq!(all.json(), json!({ "retried": 0 }), "what was taken is not sent again");
    let of_nobody = "INSERT INTO deliveries (notice, target, state, next_try_at, settled_at)
                     VALUES (?1, 'nobody', 'failed', 0, 0)";
    store(&world).execute(of_nobody, [id.as_i64()]).expect("a delivery");
    let path = format!("/admin/notices/{id}/nobody/retry");
    for (path, body) in [(&*path, json!({})), ("/admin/notices/retry", json!({ "target": "nobody" }))] {
        let reply = world.operate(path, &body).await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{path}: it would wait for ever");
    }
    let unknown = world.operate("/admin/notices/retry", &json!({ "name": "crm" })).await;
    assert_eq!(unknown.refusal(), (400, "bad_request".to_owned()));
    for query in ["?state=lost", "?limit=0", "?cursor=x"] {
        let path = format!("/admin/notices{query}");
        let reply = world.admin(Method::GET, &path, Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{query}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_holds_up_no_other_and_a_restart_forgets_nothing() {
    let (dead, alive) = (Listener::start().await, Listener::start().await);
    dead.be_silent(true);
    let config = [dead.wants("a-dead-one", &["*"]), alive.wants("b-live-one", &["*"])];
    let mut world = World::builder().config(&config.concat()).start().await;
    for name in ["one", "two", "three", "four", "five", "six"] {
        world.subscriber(name, "starter").await;
    }
    alive.hears("tier.changed", 6).await;
    until("the dead one is asked", PATIENCE, async || (!dead.messages().is_empty()).then_some(())).await;
    let waiting = log(&world, "?state=pending").await;
    assert_eq!(waiting.as_array().map(Vec::len), Some(6), "{waiting:#}");
    world.gateway.kill9();
    dead.be_silent(false);
    world.gateway.restart().await;
    until("all is delivered", 2 * PATIENCE, async || {
        let due = "UPDATE deliveries SET next_try_at = 0 WHERE state = 'pending'";
        store(&world).execute(due, []).expect("deliveries");
        let waiting = log(&world, "?state=pending").await;
        waiting.as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    assert_eq!(alive.of("tier.changed").len(), 6);
    world.finish().await;
}
