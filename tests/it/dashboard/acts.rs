//! What forms do: what the endpoints do, once, with an audit row.

use serde_json::{Value, json};

use super::{Browser, location};
use crate::harness::World;

const PAGE: &str = "/dashboard/customer?name=acme";

async fn act(browser: &Browser, act: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let fields: Vec<_> = fields.iter().copied().chain([("name", "acme")]).collect();
    let reply = browser.submit(PAGE, &format!("/dashboard/customer/{act}"), &fields).await;
    (reply.status, location(&reply).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_changes_a_customer_by_forms() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("acme", "starter").await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let browser = Browser::signed_in(&world).await;
    let done = |word: &str| (303, format!("{PAGE}&said={word}"));

    let credits = [("amount", "50"), ("reason", "an apology"), ("key", "k1"), ("expires_at", "2099-01-01")];
    for _ in 0..2 {
        assert_eq!(act(&browser, "credits", &credits).await, done("credits"));
    }
    let wanted =
        [("tier", "pro"), ("included:api_calls", "20,000"), ("until", "2099-01-01"), ("reason", "a friend")];
    assert_eq!(act(&browser, "override", &wanted).await, done("override"));
    let shown = world.shown("/admin/customers/acme").await;
    assert_eq!((&shown["credits"], &shown["tier"]), (&json!(50), &json!("pro")), "sent twice, done once");
    assert_eq!(shown["override"]["included"], json!({ "api_calls": 20_000 }));
    let page = browser.page(&format!("{PAGE}&said=override")).await;
    assert!(page.contains("The override is in force."));
    for kept in ["20000", "2099-01-01T00:00:00Z", "a friend"] {
        assert!(page.contains(&format!("value=\"{kept}\"")), "whoever changes one of them keeps {kept}");
    }
    assert_eq!(act(&browser, "override-end", &[]).await, done("override%2Dend"));
    assert_eq!(act(&browser, "block", &[("block-reason", "fraud")]).await, done("block"));
    assert_eq!(customer.get("/signals").await.refusal(), (403, "customer_blocked".to_owned()));
    assert_eq!(act(&browser, "unblock", &[]).await, done("unblock"));
    assert_eq!(act(&browser, "sync", &[]).await, done("sync"));
    assert_eq!(act(&browser, "cache", &[]).await, done("cache"));
    assert_eq!(customer.get("/signals").await.charged(), 1);

    let audit = world.shown("/admin/audit?customer=acme").await;
    let actions: Vec<&str> =
        audit["data"].as_array().into_iter().flatten().filter_map(|row| row["action"].as_str()).collect();
    let page = browser.page("/dashboard/audit?customer=acme").await;
    for action in ["cache_cleared", "customer_blocked", "customer_unblocked"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
        assert!(page.contains(&action.replace('_', " ")), "{action} in {page}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_on_the_page_with_its_status() {
    let world = World::start().await;
    world.customer("acme").get("/signals").await;
    let browser = Browser::signed_in(&world).await;
    for (name, fields, status, says) in [
        ("credits", vec![("amount", "many"), ("reason", "x")], 422, "Units are a whole number"),
        ("credits", vec![("amount", "5")], 422, "Give a reason"),
        ("override", vec![("reason", "x")], 422, "Name a tier, or included units"),
        (
            "override",
            vec![("reason", "x"), ("included:api_calls", "few")],
            422,
            "Included units of api_calls",
        ),
        (
            "override",
            vec![("tier", "pro"), ("until", "2001-01-01"), ("reason", "x")],
            422,
            "Until has passed",
        ),
        ("sync", vec![], 409, ""),
        ("dance", vec![], 404, "These pages can do no such thing"),
    ] {
        let fields: Vec<_> = fields.into_iter().chain([("name", "acme")]).collect();
        let reply = browser.submit(PAGE, &format!("/dashboard/customer/{name}"), &fields).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert!(
            reply.text().contains(says) && reply.text().contains("<h1>acme</h1>"),
            "{name}: {}",
            reply.text()
        );
    }
    assert_eq!(world.shown("/admin/customers/acme").await["credits"], 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_applied_again_and_the_outbox_is_sent() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let browser = Browser::signed_in(&world).await;
    let events = world.shown("/admin/webhooks?status=done").await;
    let id = events["data"][0]["id"].as_str().expect("an event").to_owned();
    let page = format!("/dashboard/webhook?id={}", id.replace('_', "%5F"));
    let reply = browser.submit(&page, "/dashboard/webhook/replay", &[("id", &id)]).await;
    assert_eq!((reply.status, location(&reply)), (303, format!("{page}&said=replay").as_str()));
    assert_ne!(world.shown(&format!("/admin/webhooks/{id}")).await["replayed_at"], Value::Null);

    let flushed = browser.submit("/dashboard/outbox", "/dashboard/outbox/flush", &[]).await;
    assert_eq!(flushed.status, 200);
    assert!(flushed.text().contains("accepted by Stripe; 0 wait and 0 are dead"), "{}", flushed.text());
    let reply =
        browser.submit("/dashboard/outbox", "/dashboard/outbox/retry", &[("identifier", "none")]).await;
    assert_eq!(reply.status, 404, "{}", reply.text());

    let compared =
        browser.submit("/dashboard/reconcile", "/dashboard/reconcile", &[("period", "current")]).await;
    assert_eq!(compared.status, 200);
    assert!(compared.text().contains("Ledger and Stripe agree."), "{}", compared.text());
    let wrong = browser.submit("/dashboard/reconcile", "/dashboard/reconcile", &[("period", "soon")]).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    world.finish().await;
}
