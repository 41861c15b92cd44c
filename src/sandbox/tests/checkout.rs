//! Buying on the page.

use serde_json::{Value, json};

use super::harness::{Harness, Reply};
use super::world::{World, at, try_run};
use crate::sandbox::{checkout, checkout_create};

const SHOP: &str = "success_url=http://shop.example/done&cancel_url=http://shop.example/";
const PRO: &str = "mode=subscription&line_items[0][price]=price_demo_pro_monthly";
const PACK: &str = "mode=payment&line_items[0][price_data][currency]=usd&line_items[0][quantity]=3\
                    &line_items[0][price_data][unit_amount]=500\
                    &line_items[0][price_data][product_data][name]=Credits";

impl Harness {
    async fn order(&self, form: &str) -> Reply {
        self.post("/v1/checkout/sessions", &format!("{SHOP}&{form}")).await
    }

    async fn session(&self, id: &str) -> Value {
        self.get(&format!("/v1/checkout/sessions/{id}")).await.json
    }

    async fn pay(&self, id: &str, how: Value) -> Reply {
        let url = format!("{}/_sandbox/checkout/{id}/pay", self.sandbox.base_url());
        self.send(self.http.post(url).json(&how)).await
    }
}

#[tokio::test]
async fn paying_a_checkout_subscribes_once_and_returns_to_the_shop() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let form = "mode=subscription&success_url=http://shop.example/done?s={CHECKOUT_SESSION_ID}\
                &cancel_url=http://shop.example/&client_reference_id=alice&customer_email=a%40example.com\
                &line_items[0][price]=price_demo_pro_monthly&line_items[0][quantity]=1\
                &line_items[1][price]=price_demo_pro_api_calls&subscription_data[metadata][tollgate_customer]=alice";
    let session = harness.post("/v1/checkout/sessions", form).await;
    assert_eq!(session.json["amount_total"], 9_900);
    let page = harness
        .http
        .get(session.json["url"].as_str().expect("it is there"))
        .send()
        .await
        .expect("it is there");
    let html = page.text().await.expect("it is there");
    assert!(html.contains("99.00 USD per month") && html.contains("http://shop.example/"));
    for _ in 0..2 {
        let pay = format!("{}/checkout/{}/pay", harness.sandbox.base_url(), session.id());
        let paid = harness.http.post(pay).send().await.expect("it is there");
        assert_eq!(paid.status(), 303);
        assert_eq!(
            paid.headers()["location"],
            format!("http://shop.example/done?s={}", session.id()).as_str()
        );
    }
    let done = harness.get(&format!("/v1/checkout/sessions/{}", session.id())).await.json;
    assert_eq!((done["status"].as_str(), done["payment_status"].as_str()), (Some("complete"), Some("paid")));
    let subscription = harness
        .get(&format!("/v1/subscriptions/{}", done["subscription"].as_str().expect("it is there")))
        .await
        .json;
    assert_eq!(subscription["metadata"]["tollgate_customer"], "alice");
    assert_eq!(
        harness.event_types().await,
        [
            "customer.created",
            "customer.subscription.created",
            "payment_intent.succeeded",
            "invoice.paid",
            "invoice.payment_succeeded",
            "checkout.session.completed",
        ]
    );
}

#[tokio::test]
async fn a_purchase_is_paid_without_a_subscription() {
    let harness = Harness::start().await;
    let form = "mode=payment&success_url=http://shop.example/&client_reference_id=alice\
                &line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=500\
                &line_items[0][price_data][product_data][name]=Credits&line_items[0][quantity]=3";
    let session = harness.post("/v1/checkout/sessions", form).await;
    assert_eq!(session.json["amount_total"], 1_500);
    let paid = harness.post(&format!("/_sandbox/checkout/{}/pay", session.id()), "").await;
    assert_eq!(paid.json["redirect"], "http://shop.example/");
    let done = harness.get(&format!("/v1/checkout/sessions/{}", session.id())).await.json;
    assert_eq!((done["payment_status"].as_str(), &done["subscription"]), (Some("paid"), &Value::Null));
    assert_eq!(harness.event_types().await, ["payment_intent.succeeded", "checkout.session.completed"]);
}

#[tokio::test]
async fn a_session_that_was_expired_cannot_be_paid() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let closed = harness.order(PRO).await;
    let path = format!("/v1/checkout/sessions/{}/expire", closed.id());
    assert_eq!((harness.post(&path, "").await.status, harness.post(&path, "").await.status), (200, 400));
    assert_eq!(harness.pay(&closed.id(), json!({})).await.status, 400);
    let expired = harness.session(&closed.id()).await;
    assert_eq!((expired["status"].as_str(), &expired["url"]), (Some("expired"), &Value::Null));
    assert_eq!(harness.event_types().await, ["checkout.session.expired"]);
}

#[test]
fn a_session_expires_by_itself_when_it_says_so() {
    let mut world = World::begin("2026-01-01T00:00:00Z");
    let price = world.state.prices.iter().next().expect("a price").id.clone();
    let form = format!("mode=subscription&line_items[0][price]={price}&{SHOP}");
    let now = at("2026-01-01T00:00:00Z");
    let mut create = |form: &str| try_run(&mut world.state, now, checkout_create::create, "", form);
    for wrong in [now + 1_799, now + 86_401, now - 1] {
        assert!(create(&format!("{form}&expires_at={wrong}")).is_err(), "{wrong}");
    }
    let short = create(&format!("{form}&expires_at={}", now + 1_800)).expect("half an hour");
    let long = create(&form).expect("a day");
    let status = |world: &mut World, now: &str, session: &Value| {
        world.at(now, checkout::retrieve, session["id"].as_str().expect("an id"), "")["status"].clone()
    };
    assert_eq!(status(&mut world, "2026-01-01T00:29:59Z", &short), "open");
    assert_eq!(status(&mut world, "2026-01-01T00:30:00Z", &short), "expired");
    assert_eq!(status(&mut world, "2026-01-01T23:59:59Z", &long), "open");
    assert_eq!(status(&mut world, "2026-01-02T00:00:00Z", &long), "expired");
    assert_eq!(world.events("checkout.session.expired"), 2);
}

#[tokio::test]
async fn a_one_time_payment_carries_its_metadata_and_makes_no_customer_unless_asked() {
    let harness = Harness::start().await;
    let described = format!(
        "{PACK}&client_reference_id=alice&metadata[where]=session&payment_intent_data[metadata][tollgate_customer]=alice\
         &payment_intent_data[description]=1500%20units"
    );
    let session = harness.order(&described).await;
    assert_eq!(session.json["customer_creation"], "if_required");
    harness.pay(&session.id(), json!({})).await;
    let done = harness.session(&session.id()).await;
    assert_eq!(
        (&done["customer"], &done["client_reference_id"], &done["metadata"]),
        (&Value::Null, &json!("alice"), &json!({"where": "session"}))
    );
    let intent = done["payment_intent"].as_str().expect("a payment");
    let intent = harness.get(&format!("/v1/payment_intents/{intent}")).await.json;
    assert_eq!(
        (&intent["status"], &intent["amount_received"], &intent["metadata"], &intent["description"]),
        (&json!("succeeded"), &json!(1_500), &json!({"tollgate_customer": "alice"}), &json!("1500 units"))
    );
    assert_eq!(harness.last_event("payment_intent.succeeded").await, intent);

    let asked = harness.order(&format!("{PACK}&customer_creation=always&customer_email=a%40b.example")).await;
    harness.pay(&asked.id(), json!({})).await;
    let customer = harness.session(&asked.id()).await["customer"].as_str().expect("a customer").to_owned();
    let known = harness.post("/v1/customers", "name=Known").await.id();
    let owned = harness.order(&format!("{PACK}&customer={known}")).await;
    harness.pay(&owned.id(), json!({})).await;
    for customer in [customer, known] {
        let paid = harness.get(&format!("/v1/payment_intents?customer={customer}")).await.json;
        assert_eq!(paid["data"].as_array().map(Vec::len), Some(1));
        let cards = harness.get(&format!("/v1/payment_methods?customer={customer}")).await.json;
        assert_eq!(cards["data"], json!([]), "a card is kept only if that was asked for");
    }
}

#[tokio::test]
async fn the_news_of_a_purchase_come_in_either_order() {
    let harness = Harness::start().await;
    let session = harness.order(PACK).await;
    harness.pay(&session.id(), json!({"session_first": true})).await;
    assert_eq!(harness.event_types().await, ["checkout.session.completed", "payment_intent.succeeded"]);
}

#[tokio::test]
async fn a_delayed_payment_completes_the_session_unpaid_and_is_settled_later() {
    let harness = Harness::start().await;
    for (succeeds, status, news) in [
        (true, "paid", ["payment_intent.succeeded", "checkout.session.async_payment_succeeded"]),
        (false, "unpaid", ["payment_intent.payment_failed", "checkout.session.async_payment_failed"]),
    ] {
        let session = harness.order(PACK).await;
        harness.pay(&session.id(), json!({"delayed": true})).await;
        let waiting = harness.session(&session.id()).await;
        assert_eq!((&waiting["status"], &waiting["payment_status"]), (&json!("complete"), &json!("unpaid")));
        assert_eq!(
            harness.event_types().await.last().map(String::as_str),
            Some("checkout.session.completed")
        );
        let intent = waiting["payment_intent"].as_str().expect("a payment");
        let hook = format!("/_sandbox/payment_intents/{intent}/settle");
        assert_eq!(harness.post(&hook, &format!("succeeds={succeeds}")).await.status, 200);
        assert_eq!(harness.session(&session.id()).await["payment_status"], status);
        let types = harness.event_types().await;
        assert_eq!(types[types.len() - 2..], news);
        assert_eq!(harness.post(&hook, "").await.status, 400, "it is settled once");
    }
}

#[tokio::test]
async fn a_card_that_is_declined_leaves_the_page_open_for_another() {
    let harness = Harness::start().await;
    harness.seed_pro();
    for (form, kept) in [(PRO, false), (PACK, true)] {
        let session = harness.order(form).await;
        let url = session.json["url"].as_str().expect("a page").to_owned();
        let declined = harness.http.post(format!("{url}/decline")).send().await.expect("an answer");
        assert_eq!(declined.status(), 402);
        let page = declined.text().await.expect("a page");
        assert!(page.contains("Your card was declined.") && page.contains("/pay\""), "{page}");
        let failed = harness.last_event("payment_intent.payment_failed").await;
        assert_eq!(failed["last_payment_error"]["code"], "card_declined");
        let open = harness.session(&session.id()).await;
        assert_eq!((&open["status"], &open["customer"]), (&json!("open"), &Value::Null));
        harness.pay(&session.id(), json!({})).await;
        let done = harness.session(&session.id()).await;
        assert_eq!((&done["status"], &done["payment_status"]), (&json!("complete"), &json!("paid")));
        assert_eq!(done["payment_intent"] == failed["id"], kept, "a purchase keeps its payment");
    }
}

#[tokio::test]
async fn a_trial_starts_when_the_page_is_done_and_the_page_says_how_long() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let trial = "subscription_data[trial_period_days]=14&subscription_data[metadata][plan]=pro&allow_promotion_codes=true";
    let session = harness.order(&format!("{PRO}&{trial}")).await;
    assert_eq!(
        (&session.json["amount_total"], &session.json["allow_promotion_codes"]),
        (&json!(0), &json!(true))
    );
    let page =
        harness.http.get(session.json["url"].as_str().expect("a page")).send().await.expect("an answer");
    let page = page.text().await.expect("a page");
    assert!(page.contains("14 days free") && page.contains("Promotion codes"), "{page}");
    harness.pay(&session.id(), json!({})).await;
    let done = harness.session(&session.id()).await;
    assert_eq!(done["payment_status"], "no_payment_required");
    let path = format!("/v1/subscriptions/{}", done["subscription"].as_str().expect("it is there"));
    let subscription = harness.get(&path).await.json;
    assert_eq!(
        (&subscription["status"], &subscription["metadata"]["plan"]),
        (&json!("trialing"), &json!("pro"))
    );
    let days = subscription["trial_end"].as_i64().zip(subscription["trial_start"].as_i64());
    assert_eq!(days.map(|(end, start)| end - start), Some(14 * 86_400));
    assert!(subscription["default_payment_method"].is_string(), "the card that was entered pays from now on");
}

#[tokio::test]
async fn an_order_that_stripe_would_not_take_is_refused() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    let long = "x".repeat(201);
    for (form, param) in [
        (format!("{PRO}&payment_intent_data[metadata][a]=b"), "payment_intent_data"),
        (format!("{PACK}&subscription_data[metadata][a]=b"), "subscription_data"),
        (format!("{PRO}&customer_creation=always"), "customer_creation"),
        (format!("{PRO}&customer_update[name]=auto"), "customer_update"),
        (format!("{PRO}&client_reference_id={long}"), "client_reference_id"),
        (
            format!(
                "{PRO}&line_items[0][quantity]=1&line_items[1][price]=price_demo_pro_api_calls&line_items[1][quantity]=2"
            ),
            "line_items[quantity]",
        ),
        (format!("{PRO}&subscription_data[trial_period_day]=3"), "trial_period_day"),
        (format!("{PRO}&sucess_url=x"), "sucess_url"),
        ("mode=payment&line_items[0][price]=price_demo_pro_monthly".to_owned(), "line_items"),
    ] {
        let refused = harness.order(&form).await;
        assert_eq!((refused.status, refused.json["error"]["param"].as_str()), (400, Some(param)), "{form}");
    }
    for form in [
        format!("{PRO}&customer={customer}&customer_email=a%40b.example"),
        format!("{PRO}&allow_promotion_codes=true&discounts[0][coupon]=x"),
        format!("{PRO}&customer=cus_none"),
    ] {
        assert_eq!(harness.order(&form).await.status, 400, "{form}");
    }
    let whole = format!(
        "{PRO}&customer={customer}&customer_update[name]=auto&locale=de&automatic_tax[enabled]=false"
    );
    assert_eq!(harness.order(&whole).await.status, 200);
}
