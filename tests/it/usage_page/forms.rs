//! What a form does, and what only looks like one.

use serde_json::json;

use super::{Browser, Form, back, sent_on, visitor};
use crate::callers;
use crate::harness::{CheckoutPage, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_buys_changes_cancels_and_goes_on() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("buyer");
    let browser = visitor(&world, &customer).await;
    let form = Form::on(&browser.page().await, "Subscribe to starter, monthly");
    let checkout = sent_on(&browser.press(&form).await);
    assert_eq!(sent_on(&browser.press(&form).await), checkout, "two clicks order once");
    let mut stripe = CheckoutPage::open(&checkout).await;
    stripe.decline().await;
    assert_eq!(stripe.cancel().as_deref(), Some(&*format!("http://{}/billing", world.gateway.public)));
    let thanks = stripe.pay().await;
    assert_eq!(thanks, format!("http://{}/billing?done=paid", world.gateway.public));
    let page = browser.get("/billing?done=paid").await.text();
    assert!(page.contains("Thank you"), "{page}");
    assert_eq!(customer.status().await["tier"], "starter", "before any news of it");
    let upgrade = Form::on(&browser.page().await, "Confirm: Upgrade to pro, monthly");
    assert_eq!(back(&browser.press(&upgrade).await), "/billing?done=changed");
    assert_eq!(back(&browser.press(&upgrade).await), "/billing?done=changed");
    assert_eq!(customer.status().await["tier"], "pro");
    let cancel = Form::on(&browser.page().await, "Confirm: cancel subscription");
    assert_eq!(back(&browser.press(&cancel).await), "/billing?done=canceled");
    assert_eq!(customer.status().await["cancel_at_period_end"], true);
    let resume = Form::on(&browser.page().await, "Resume subscription");
    assert_eq!(back(&browser.press(&resume).await), "/billing?done=resumed");
    assert_eq!(customer.status().await["cancel_at_period_end"], false);
    let down = Form::on(&browser.page().await, "Confirm: Downgrade to starter, monthly");
    assert_eq!(back(&browser.press(&down).await), "/billing?done=changed");
    assert_eq!(customer.status().await["tier"], "starter");
    let portal = Form::on(&browser.page().await, "Payment methods and invoices");
    assert_eq!(sent_on(&browser.press(&portal).await), format!("http://{}/billing", world.gateway.public));
    let acts = world.shown("/admin/audit").await;
    let is_theirs = |action: &str| {
        acts["data"].as_array().is_some_and(|acts| acts.iter().any(|act| act["action"] == action))
    };
    assert!(is_theirs("subscription_changed") && is_theirs("subscription_canceled"), "{acts}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_its_own_customer_has_a_page_and_what_it_buys_there() {
    let packs = "credit_packs = [{ name = \"small\", units = 1000, price = \"10.00\" }]";
    let world = World::builder().config(packs).config(callers::KEYS).start().await;
    let key = callers::make(&world, &json!({ "name": "a small shop" })).await;
    let name = format!("key {}", key.id);
    let customer = key.caller(&world, &name);
    let browser = visitor(&world, &customer).await;
    let page = browser.page().await;
    assert!(page.contains(&format!("<strong>{name}</strong>")), "{page}");
    let tier = sent_on(&browser.press(&Form::on(&page, "Subscribe to starter, monthly")).await);
    CheckoutPage::open(&tier).await.pay().await;
    customer.until_status("tier", "starter").await;
    let pack = Form::on(&browser.page().await, "1,000 credits for 10.00 USD");
    CheckoutPage::open(&sent_on(&browser.press(&pack).await)).await.pay().await;
    until("the credits are there", PATIENCE, async || {
        (customer.status().await["credits"] == 1_000).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_the_page_did_not_send_does_nothing() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("victim", "pro").await;
    let browser = visitor(&world, &customer).await;
    let cancel = Form::on(&browser.page().await, "Confirm: cancel subscription");
    let other = visitor(&world, &world.subscriber("attacker", "pro").await.0).await;
    let theirs = Form::on(&other.page().await, "Confirm: cancel subscription");
    let same = visitor(&world, &customer).await;
    let sibling = Form::on(&same.page().await, "Confirm: cancel subscription");
    for forged in [
        cancel.clone().without("csrf"),
        cancel.clone().with("csrf", ""),
        cancel.clone().with("csrf", "AAAA"),
        cancel.clone().with("csrf", theirs.field("csrf")),
        cancel.clone().with("csrf", sibling.field("csrf")),
    ] {
        let reply = browser.press(&forged).await;
        assert_eq!(reply.status, 400, "{forged:?}");
        assert!(reply.text().contains("load the page again"), "{}", reply.text());
    }
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let reply = browser.press_with(&cancel, |request| request.header(name, value)).await;
        assert_eq!(reply.status, 400, "{name}: {value}");
    }
    let nobody = Browser::new(world.gateway.public).press(&cancel).await;
    assert_eq!(nobody.status, 401, "without a session there is no page");
    assert_eq!(customer.status().await["cancel_at_period_end"], false);
    assert_eq!(back(&browser.press(&cancel).await), "/billing?done=canceled", "the form itself was good");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_on_the_page_under_its_status() {
    let world = World::start().await;
    let customer = world.customer("blocked");
    let browser = visitor(&world, &customer).await;
    let buy = Form::on(&browser.page().await, "Subscribe to pro, yearly");
    let unknown = browser.press(&buy.clone().with("tier", "<b>none</b>").with("key", "k1")).await;
    assert_eq!(unknown.status, 422);
    assert!(
        unknown.text().contains("role=\"alert\"") && !unknown.text().contains("<b>"),
        "{}",
        unknown.text()
    );
    let act = Form { action: "/billing/page/nothing".to_owned(), ..buy.clone() };
    assert_eq!(browser.press(&act).await.status, 404);
    assert_eq!(browser.press(&buy.clone().with("key", "with space")).await.status, 400);
    assert_eq!(world.operate("/admin/customers/blocked/block", &json!({})).await.status, 200);
    let refused = browser.press(&buy).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("This customer is blocked"), "{}", refused.text());
    assert!(browser.page().await.contains("access is switched off"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_the_endpoints_hold_for_the_page() {
    let world = World::builder().config("[billing]\nwrite_rate = \"2/h\"").start().await;
    let browser = visitor(&world, &world.customer("busy")).await;
    let resume = Form::on(&browser.page().await, "Subscribe to pro, monthly");
    let resume = Form { action: "/billing/page/resume".to_owned(), ..resume };
    for _ in 0..2 {
        assert_eq!(browser.press(&resume.clone().without("key")).await.status, 409);
    }
    let refused = browser.press(&resume).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1..=1_800).contains(&wait), "{wait}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_of_this_browser() {
    let world =
        World::builder().config("[billing]\npage = { app_url = \"https://app.example/home\" }").start().await;
    let browser = visitor(&world, &world.customer("acme")).await;
    let leave = Form::on(&browser.page().await, "Sign out");
    let left = browser.press(&leave).await;
    assert_eq!(left.status, 200);
    assert!(left.text().contains("href=\"https://app.example/home\""), "{}", left.text());
    let cookie = left.header("set-cookie").expect("the cookie ends");
    assert!(cookie.starts_with("tollgate_usage=; ") && cookie.contains("Max-Age=0"), "{cookie}");
    world.finish().await;
}
