//! What stands on the page.

use serde_json::json;

use super::{Browser, link, visitor};
use crate::harness::World;

const CAPPED: &str = r#"
    [tiers.pro]
    included = { api_calls = 10 }
    overage = { unit_amount = { api_calls = "0.02" }, cap = "3.00" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_endpoints_say() {
    let world = World::builder().config("[billing]\npage = { title = \"Acme's <API>\" }").start().await;
    let (customer, _) = world.subscriber("reader", "starter").await;
    for _ in 0..3 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.flush_all().await;
    let browser = visitor(&world, &customer).await;
    let page = browser.page().await;
    for shown in [
        "<strong>16</strong> of 1,000 included units used (1.6 %), 984 left.",
        "<dd>starter</dd>",
        "<span class=\"state good\">active</span>",
        "Acme's &lt;API&gt;",
        "<dd>0.00 USD</dd>",
        "<code>/export/pdf</code>",
        "role=\"img\"",
        "29.00 USD</strong> per month",
        "All times are UTC.",
        "earlier in the hour in which this period began",
    ] {
        assert!(page.contains(shown), "{shown} is not on {page}");
    }
    let invoice = &customer.get("/billing/invoices").await.json()["data"][0];
    let name = invoice["number"].as_str().or(invoice["id"].as_str()).expect("a first invoice");
    assert!(page.contains(name), "{name} is not on {page}");
    let status = customer.status().await;
    let projected = status["usage"]["api_calls"]["projected"].as_u64().expect("units");
    assert!(page.contains(&format!("By the period's end: {projected} units")), "{projected}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_on_credits_are_not_taken_for_included_ones() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 5 }").start().await;
    let customer = world.customer("saver");
    customer.status().await;
    let granted = json!({ "amount": 10, "reason": "a test" });
    assert_eq!(world.operate("/admin/customers/saver/credits", &granted).await.status, 200);
    for _ in 0..7 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    let page = visitor(&world, &customer).await.page().await;
    assert!(page.contains("<strong>5</strong> of 5 included units used. 7 units in all."), "{page}");
    assert!(page.contains("value=\"5\" aria-label=\"api calls: 5 of 5 included units\""), "{page}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_not_taken_for_the_plan_that_is_paid() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("favoured", "starter").await;
    let set = json!({ "tier": "pro", "reason": "a friend" });
    assert_eq!(world.put("/admin/customers/favoured/override", &set).await.status, 200);
    let status = customer.status().await;
    assert_eq!((&status["tier"], &status["billed_tier"]), (&json!("pro"), &json!("starter")));
    let page = visitor(&world, &customer).await.page().await;
    for shown in [
        "<dd>pro</dd><dd>billed as starter</dd>",
        "starter <span class=\"state good\">your plan</span>",
        ">Upgrade to pro, monthly</summary>",
    ] {
        assert!(page.contains(shown), "{shown} is not on {page}");
    }
    assert!(!page.contains("Downgrade to starter"), "{page}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_what_is_paid_is_said_as_it_is_configured() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("mover", "starter").await;
    let browser = visitor(&world, &customer).await;
    let sentences = [
        ("create_prorations", "What is paid already is set off on the next invoice."),
        ("always_invoice", "What is paid already is set off, and the difference is invoiced at once."),
        ("none", "What is paid already is not set off."),
    ];
    for (word, expected) in sentences {
        world.reconfigure(&format!("[billing]\nproration = \"{word}\"")).await;
        let page = browser.page().await;
        let said: Vec<_> = sentences.iter().filter(|(_, sentence)| page.contains(sentence)).collect();
        assert_eq!(said, [&(word, expected)], "{page}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_goes_straight_on_to_the_periods_end_or_to_the_spend_cap() {
    let world = World::builder().config(CAPPED).start().await;
    let (customer, _) = world.subscriber("spender", "pro").await;
    let (other, _) = world.subscriber("saver", "starter").await;
    for _ in 0..3 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
        assert_eq!(other.get("/export/pdf").await.charged(), 5);
    }
    let status = other.status().await;
    let instant = |value: &serde_json::Value| {
        value.as_str().expect("text").parse::<jiff::Timestamp>().expect("RFC 3339").as_second()
    };
    let days = (instant(&status["period"]["end"]) - instant(&status["period"]["start"])) / 86_400;
    assert!((28..=31).contains(&days), "the first day of a month: {status}");
    let usage = &status["usage"]["api_calls"];
    assert_eq!((&usage["projected"], &usage["projected_overage"]), (&json!(15 * days), &json!(0)));
    let status = customer.status().await;
    let usage = &status["usage"]["api_calls"];
    assert_eq!((&usage["overage"], &usage["overage_amount"]), (&json!(5), &json!("0.10")));
    assert_eq!(
        (&usage["projected"], &usage["projected_overage"], &usage["projected_overage_amount"]),
        (&json!(160), &json!(150), &json!("3.00")),
        "nobody is let beyond the cap"
    );
    let capped = json!({ "currency": "usd", "amount": "0.10", "projected_amount": "3.00", "cap": "3.00" });
    assert_eq!(status["overage"], capped);
    let page = visitor(&world, &customer).await.page().await;
    for shown in ["<dd>3.00 USD</dd>", "spend cap 3.00 USD", "160 units, 150 of them overage, 3.00 USD."] {
        assert!(page.contains(shown), "{shown} is not on {page}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_run_and_keep_nothing() {
    let world = World::start().await;
    let browser = visitor(&world, &world.customer("acme")).await;
    let reply = browser.get("/billing").await;
    let policy = reply.header("content-security-policy").expect("a policy");
    for rule in ["default-src 'none'", "script-src 'self'", "form-action 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(reply.header(name), Some(value));
    }
    let page = reply.text();
    assert!(!page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick="), "{page}");
    let style = page.split("<link rel=\"stylesheet\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let style = browser.get(style.expect("a stylesheet")).await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_and_never_read_as_markup() {
    let world = World::start().await;
    let name = "<script>alert('1')</script>&\"";
    let browser = visitor(&world, &world.customer(name)).await;
    let page = browser.page().await;
    assert!(page.contains("&lt;script&gt;alert("), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "our own, from a file");
    let odd = browser.get("/billing?done=%3Cscript%3E").await;
    assert_eq!(odd.status, 200);
    assert!(!odd.text().contains("role=\"status\""), "a word that is none says nothing");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_its_own_customer_and_no_other() {
    let world = World::start().await;
    let (one, other) = (world.customer("one"), world.customer("other"));
    assert_eq!(other.get("/signals").await.charged(), 1);
    let browser = visitor(&world, &one).await;
    for path in ["/billing?customer=other", "/billing?link=x&who=other"] {
        let page = browser.get(path).await.text();
        assert!(
            page.contains("<strong>one</strong>") && page.contains("<strong>0</strong> of 100"),
            "{page}"
        );
    }
    let second = Browser::new(world.gateway.public);
    second.enter(&link(&other).await).await;
    assert!(second.page().await.contains("<strong>1</strong> of 100"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stands_while_stripe_is_away() {
    let mut world = World::builder().by_road().start().await;
    let (customer, _) = world.subscriber("patient", "pro").await;
    let browser = visitor(&world, &customer).await;
    world.road().close().await;
    let page = browser.page().await;
    assert!(
        page.contains("of 10,000 included units") && page.contains("payment provider does not answer"),
        "{page}"
    );
    world.road().reopen().await;
    world.finish().await;
}
