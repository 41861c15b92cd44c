//! What has been paid for is granted, once.

use serde_json::json;

use super::{applied, books, deliver_all, of_kind, pack_session, pay};
use crate::harness::{PATIENCE, World, until};

const PRO_GIVES_500: &str = "[tiers.pro]\ncredits_per_cycle = 500\ncredits_expire = \"31d\"";

async fn credits(customer: &crate::harness::Customer, units: u64) {
    until("the credits are there", PATIENCE, async || {
        (customer.status().await["credits"] == units).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_paid_invoice_of_a_cycle_grants_its_tiers_credits_once() {
    let world = World::builder().config(PRO_GIVES_500).start().await;
    let (customer, _) = world.subscriber("member", "pro").await;
    credits(&customer, 500).await;
    applied(&world).await;
    for kind in ["invoice.paid", "invoice.payment_succeeded"] {
        let mut again = of_kind(&world, kind).await;
        again[0]["id"] = json!(format!("evt_again_{kind}"));
        deliver_all(&world, &again).await;
    }
    assert_eq!(books::grants(&world), [500]);
    let ends = books::count(&world, "SELECT expires_at FROM credit_lots");
    let month = 31 * 86_400;
    assert!((ends - crate::harness::unix_now() - month).abs() < 120, "a month from the payment");
    let (other, _) = world.subscriber("elsewhere", "starter").await;
    applied(&world).await;
    assert_eq!(other.status().await["credits"], 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_paid_before_anybody_was_known_is_granted_at_the_first_token() {
    let world = World::builder().config(PRO_GIVES_500).without_webhooks().start().await;
    let subscribed = world.stripe.subscribe("pro", None);
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!(books::payments(&world), ["succeeded invoice 9900 0 1"]);
    assert_eq!(books::grants(&world), [0; 0]);
    let customer = world.claiming("newcomer", Some(&subscribed.customer));
    credits(&customer, 500).await;
    until("the invoice is done", PATIENCE, async || {
        let left = books::count(&world, "SELECT count(*) FROM payments WHERE customer IS NULL OR due");
        (left == 0).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_grants_nothing() {
    let world = World::builder().config(PRO_GIVES_500).without_webhooks().start().await;
    let customer = world.customer("trier");
    customer.status().await;
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
    pay(&world, session["id"].as_str().expect("an id"), json!({})).await;
    deliver_all(&world, &world.stripe.events().await).await;
    customer.until_status("status", "trialing").await;
    assert_eq!((books::grants(&world).len(), books::payments(&world).len()), (0, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_credit_pack_is_granted_once_whichever_news_comes_first() {
    for session_first in [false, true] {
        let world = World::builder().without_webhooks().start().await;
        let customer = world.customer("buyer");
        customer.status().await;
        let session = pack_session(&world, "buyer", "1000").await;
        pay(&world, &session, json!({ "session_first": session_first })).await;
        let events = world.stripe.events().await;
        deliver_all(&world, &events).await;
        assert_eq!(customer.status().await["credits"], 1_000);
        for kind in ["checkout.session.completed", "payment_intent.succeeded"] {
            let mut again = of_kind(&world, kind).await;
            assert_eq!(again.len(), 1, "{kind}");
            again[0]["id"] = json!(format!("evt_again_{kind}"));
            deliver_all(&world, &again).await;
        }
        assert_eq!(books::grants(&world), [1_000]);
        assert_eq!(books::payments(&world), ["succeeded payment 1000 0 1"]);
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_not_granted_before_the_bank_has_paid() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("patient");
    customer.status().await;
    let session = pack_session(&world, "patient", "700").await;
    pay(&world, &session, json!({ "delayed": true })).await;
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!(books::grants(&world), [0; 0]);
    let session = world.stripe.get(&format!("/v1/checkout/sessions/{session}")).await;
    let payment = session["payment_intent"].as_str().expect("an id");
    world.stripe.hook(&format!("payment_intents/{payment}/settle"), json!({ "succeeds": true })).await;
    deliver_all(&world, &of_kind(&world, "payment_intent.succeeded").await).await;
    assert_eq!((books::grants(&world), &customer.status().await["credits"]), (vec![700], &json!(700)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_grants_nothing_and_is_told() {
    let world = World::builder().without_webhooks().start().await;
    world.customer("broke").status().await;
    let session = pack_session(&world, "broke", "700").await;
    let url = format!("{}/_sandbox/checkout/{session}/pay", world.stripe.url());
    let declined = reqwest::Client::new().post(url).json(&json!({ "declined": true })).send().await;
    assert_eq!(declined.expect("an answer").status().as_u16(), 402);
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!(books::payments(&world), ["failed payment 1000 0 1"]);
    assert_eq!((books::grants(&world).len(), books::told(&world, "payment.failed")), (0, 1));
    // Another card.
    pay(&world, &session, json!({})).await;
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!(books::payments(&world), ["succeeded payment 1000 0 1"]);
    assert_eq!(books::grants(&world), [700]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_made_elsewhere_grants_nothing_even_if_it_refers_to_a_customer() {
    let world = World::builder().without_webhooks().start().await;
    world.customer("clever").status().await;
    let price = super::one_time_price(&world, "100").await;
    let form = [
        ("mode", "payment"),
        ("client_reference_id", "clever"),
        ("success_url", "http://127.0.0.1/thanks"),
        ("line_items[0][price]", price.as_str()),
        ("line_items[0][quantity]", "1"),
    ];
    let session = world.stripe.post("/v1/checkout/sessions", &form).await;
    pay(&world, session["id"].as_str().expect("an id"), json!({})).await;
    deliver_all(&world, &world.stripe.events().await).await;
    assert_eq!((books::grants(&world).len(), books::payments(&world).len()), (0, 0));
    world.finish().await;
}
