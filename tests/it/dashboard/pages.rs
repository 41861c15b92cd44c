//! What pages show: what `/admin` says, escaped.

use super::Browser;
use crate::harness::World;

/// Every page that needs no name.
const PAGES: [&str; 8] = [
    "/dashboard",
    "/dashboard/customers",
    "/dashboard/tiers",
    "/dashboard/webhooks",
    "/dashboard/outbox",
    "/dashboard/reconcile",
    "/dashboard/audit",
    "/dashboard/sign-in",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_tells_browsers_to_run_and_frame_nothing_else() {
    let world = World::start().await;
    let browser = Browser::signed_in(&world).await;
    let fresh = Browser::new(&world);
    for path in
        PAGES.iter().chain(&["/dashboard/nothing", "/dashboard/customer", "/dashboard/customer?name=nobody"])
    {
        let asked = if path.ends_with("sign-in") { &fresh } else { &browser };
        let reply = asked.get(path).await;
        let header = |name| reply.header(name).unwrap_or_default();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        let text = reply.text();
        for forbidden in [" style=\"", "<style", "onclick", "<script>", "javascript:"] {
            assert!(!text.contains(forbidden), "{path}: {forbidden}");
        }
        assert_eq!(text.matches("<h1").count(), 1, "{path}: one headline");
    }
    for (path, status) in
        [("/dashboard/nothing", 404), ("/dashboard/customer", 400), ("/dashboard/customer?name=nobody", 404)]
    {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn style_and_script_are_served_for_good_and_need_no_session() {
    let world = World::start().await;
    let browser = Browser::new(&world);
    let page = browser.page("/dashboard/sign-in").await;
    for file in ["style.css", "script.js", "icon.svg"] {
        let end = page.find(file).expect("the page names it") + file.len();
        let begin = page[..end].rfind('"').expect("an attribute") + 1;
        let reply = browser.get(&page[begin..end]).await;
        assert_eq!(reply.status, 200, "{file}");
        assert!(reply.header("cache-control").is_some_and(|kept| kept.contains("immutable")), "{file}");
        assert_eq!(browser.get(&page[begin..end].replace("static/", "static/0")).await.status, 404, "{file}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_markup_are_shown_and_not_run() {
    let world = World::start().await;
    let browser = Browser::signed_in(&world).await;
    let evil = "<script>alert(1)</script>&\"'><img/src=x>";
    world.customer(evil).get("/signals").await;
    world.flush().await;
    let encoded = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E%26%22%27%3E%3Cimg%2Fsrc%3Dx%3E";
    let list = browser.page("/dashboard/customers").await;
    assert!(list.contains(&format!("/dashboard/customer?name={encoded}")), "{list}");
    let pages = [
        list,
        browser.page("/dashboard").await,
        browser.page(&format!("/dashboard/customer?name={encoded}")).await,
        browser.page(&format!("/dashboard/customer/receipt?name={encoded}")).await,
        browser.page(&format!("/dashboard/customers?q={encoded}&tier={encoded}")).await,
        browser.page(&format!("/dashboard/audit?customer={encoded}")).await,
        browser.page(&format!("/dashboard/webhooks?type={encoded}")).await,
        browser.page(&format!("/dashboard/outbox?said={encoded}")).await,
        browser.get(&format!("/dashboard/charge?id={encoded}")).await.text(),
    ];
    for page in &pages {
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        assert!(!page.contains("value=\"<") && !page.contains("&\"'"), "{page}");
    }
    assert!(pages[2].contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;"), "{}", pages[2]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_the_endpoints_say() {
    let world = World::builder()
        .config("[server]\nencryption_key = \"0123456789abcdef0123456789abcdef\"")
        .start()
        .await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let id = customer.get("/export/pdf").await.header("x-request-id").expect("an id").to_owned();
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.flush_all().await;
    let browser = Browser::signed_in(&world).await;

    let overview = browser.page("/dashboard").await;
    for part in ["99.00 USD", "2xx: ", "Units by meter", "this node is alone", "reachable"] {
        assert!(overview.contains(part), "{part} in {overview}");
    }
    let found = browser.page("/dashboard/customers?q=acm&tier=pro&status=active").await;
    assert!(found.contains(">acme</a>"), "{found}");
    assert!(browser.page("/dashboard/customers?tier=free").await.contains("Nobody is found"));
    let page = browser.page("/dashboard/customer?name=acme").await;
    let shown = world.shown("/admin/customers/acme").await;
    assert_eq!(shown["drawn"]["api_calls"], serde_json::json!({ "included": 6, "overage": 0, "beside": 0 }));
    for part in [
        "6 of 10,000 included",
        "9,994",
        &subscribed.customer,
        "role=\"img\"",
        "seats unlimited",
        "5 included",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(page.contains(&format!("/dashboard/charge?id={}", id.replace('-', "%2D"))), "{page}");

    let charge = browser.page(&format!("/dashboard/charge?id={id}")).await;
    let receipt = world.shown(&format!("/admin/receipts/{id}")).await;
    let event = receipt["meter_event"]["identifier"].as_str().expect("an event");
    for part in ["GET /export/pdf", "5 included", event, "delivered", "0 → 5"] {
        assert!(charge.contains(part), "{part} in {charge}");
    }
    let receipt = browser.page("/dashboard/customer/receipt?name=acme").await;
    for part in ["/export/pdf", "0.02 USD", "0.00 USD", "990.00 USD yearly", "All routes"] {
        assert!(receipt.contains(part), "{part} in {receipt}");
    }
    let tiers = browser.page("/dashboard/tiers").await;
    for part in [
        "/signals/history/{symbol}",
        "tiers with premium",
        "0.03 USD a unit of api_calls",
        "price_it_pro_monthly",
    ] {
        assert!(tiers.contains(part), "{part} in {tiers}");
    }
    let webhooks = browser.page("/dashboard/webhooks?type=customer.subscription.created").await;
    assert!(webhooks.contains("customer.subscription.created</a>"), "{webhooks}");
    assert!(browser.page("/dashboard/webhooks?type=nothing").await.contains("No event is found"));
    assert!(browser.page("/dashboard/outbox").await.contains("Nothing waits"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_on_credits_are_not_taken_for_included_ones() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 5 }").start().await;
    let customer = world.customer("saver");
    customer.status().await;
    let granted = serde_json::json!({ "amount": 10, "reason": "a test" });
    assert_eq!(world.operate("/admin/customers/saver/credits", &granted).await.status, 200);
    for _ in 0..7 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    let page = Browser::signed_in(&world).await.page("/dashboard/customer?name=saver").await;
    for part in
        ["5 of 5 included", "7 units", "value=\"5\" aria-label=\"api_calls: used of what is included\""]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_the_commands_and_unknown_ones_are_not_found() {
    let world = World::start().await;
    let reply = world.customer("acme").get("/signals").await;
    let id = reply.header("x-request-id").expect("an id").to_owned();
    world.flush().await;
    let told = crate::operator::json(&world, &["explain", &id]);
    assert_eq!(world.shown(&format!("/admin/receipts/{id}")).await, told);
    for unknown in ["nothing", "0190a6e0-0000-7000-8000-000000000000"] {
        let path = format!("/admin/receipts/{unknown}");
        let reply = world.admin(http::Method::GET, &path, Some(crate::harness::ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{unknown}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_is_renewed_while_somebody_watches() {
    let world = World::start().await;
    let browser = Browser::signed_in(&world).await;
    assert_eq!(Browser::new(&world).get("/dashboard/live").await.status, 303, "not for everybody");
    let request = browser.http.get(format!("{}/dashboard/live", browser.base));
    let request = request.header("cookie", browser.cookie.clone().expect("a cookie"));
    let mut stream = request.send().await.expect("a stream");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    world.customer("acme").get("/signals").await;
    let mut heard = String::new();
    while !heard.contains("2xx: 1") {
        let chunk = stream.chunk().await.expect("it goes on").expect("it goes on");
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(heard.contains("event: tiles") && heard.contains("event: tables"), "{heard}");
    let left = browser.submit("/dashboard/outbox", "/dashboard/sign-out", &[]).await;
    assert_eq!(left.status, 303);
    while stream.chunk().await.expect("it ends well").is_some() {}
    world.finish().await;
}
