//! No id in a request names another customer.

use http::Method;
use serde_json::json;

use super::{done, order, post, shop, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_anywhere_has_no_effect() {
    let world = shop().await;
    let (victim, theirs) = world.subscriber("victim", "pro").await;
    let thief = world.customer("thief");
    let ids = [
        ("customer", theirs.customer.as_str()),
        ("subscription", &theirs.subscription),
        ("stripe_customer", &theirs.customer),
        ("client_reference_id", "victim"),
        ("customer_id", "victim"),
    ];
    for (name, id) in ids {
        for (path, mut body) in [
            ("/billing/checkout", order("starter")),
            ("/billing/subscribe", json!({ "tier": "starter", "payment_method": "pm_card_visa" })),
            ("/billing/upgrade", json!({ "tier": "starter" })),
            ("/billing/cancel", json!({ "at_period_end": false })),
            ("/billing/resume", json!({})),
            ("/billing/portal", json!({})),
            ("/billing/sync", json!({})),
        ] {
            body[name] = json!(id);
            let reply = post(&thief, path, &body).await;
            assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{path} {name}");
            assert!(text(&reply.json()["detail"]).contains(name), "it names the member: {}", reply.text());
        }
        for path in ["invoices", "payment-methods", "credits"] {
            let reply = thief.get(&format!("/billing/{path}?{name}={id}")).await;
            assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{path} {name}");
        }
        let status = done(&thief.get(&format!("/billing/status?{name}={id}")).await);
        assert_eq!((&status["customer"], &status["tier"]), (&json!("thief"), &json!("free")));
        assert_eq!(thief.get(&format!("/billing/usage?{name}={id}")).await.status, 400);
    }
    let below = thief.ask(Method::POST, &format!("/billing/cancel/{}", theirs.subscription), |r| r).await;
    assert_eq!(below.refusal(), (404, "not_found".to_owned()));
    let status = victim.status().await;
    assert_eq!((&status["tier"], &status["cancel_at_period_end"]), (&json!("pro"), &json!(false)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_customers_list_shows_nothing_of_it() {
    let world = shop().await;
    let (victim, _) = world.subscriber("victim", "pro").await;
    let invoices = done(&victim.get("/billing/invoices").await);
    let id = text(&invoices["data"][0]["id"]).to_owned();
    let (thief, _) = world.subscriber("thief", "starter").await;
    let reply = thief.get(&format!("/billing/invoices?cursor={id}")).await;
    assert!(!reply.text().contains(&id), "{}", reply.text());
    assert!([200, 400].contains(&reply.status), "{}", reply.text());
    world.finish().await;
}
