//! Who is let in, and what the cookie opens.

use http::Method;

use super::{Browser, asking, csrf, form, location};
use crate::harness::{ADMIN_TOKEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_lets_in_and_signing_out_ends_it() {
    let world = World::start().await;
    let mut browser = Browser::new(&world);
    assert_eq!(location(&browser.get("/").await), "/dashboard");
    let asked = browser.get("/dashboard/customers?q=a").await;
    assert_eq!(
        (asked.status, location(&asked)),
        (303, "/dashboard/sign-in?next=%2Fdashboard%2Fcustomers%3Fq%3Da")
    );
    let asked = browser.get("/dashboard").await;
    assert_eq!(location(&asked), "/dashboard/sign-in?next=%2Fdashboard");

    let refused = browser.sign_in("not the admin token").await;
    assert_eq!((refused.status, refused.header("set-cookie")), (401, None));
    assert!(refused.text().contains("This is not the admin token"), "{}", refused.text());

    let reply = browser.sign_in(ADMIN_TOKEN).await;
    let set = reply.header("set-cookie").expect("a cookie").to_owned();
    for attribute in ["Path=/dashboard", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(set.contains(attribute), "{attribute} in {set}");
    }
    assert!(!set.contains("Secure") && !set.contains(ADMIN_TOKEN), "{set}");
    let page = browser.page("/dashboard").await;
    assert!(page.contains("<h1>Overview</h1>") && !page.contains(ADMIN_TOKEN), "{page}");

    let stolen = browser.cookie.clone();
    let left = browser.submit("/dashboard", "/dashboard/sign-out", &[]).await;
    assert_eq!((left.status, location(&left)), (303, "/dashboard/sign-in?left=1"));
    assert!(left.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0")));
    browser.cookie = stolen;
    assert_eq!(browser.get("/dashboard").await.status, 303, "a copy of the cookie opens nothing either");
    assert!(!world.gateway.log().contains(ADMIN_TOKEN));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_opens_pages_and_no_endpoint() {
    let world = World::start().await;
    let browser = Browser::signed_in(&world).await;
    for path in ["/admin/stats", "/admin/customers", "/admin/nothing"] {
        let reply = browser.get(path).await;
        assert_eq!(reply.refusal(), (401, "token_missing".to_owned()), "{path}");
    }
    assert_eq!(browser.post("/admin/sync", &[]).await.status, 401);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let reply = asking(&world, Method::GET, "/dashboard", &[("authorization", &bearer)]).await;
    assert_eq!(reply.status, 303, "and the token opens no page");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cookie_and_one_of_another_token_open_nothing() {
    let world = World::start().await;
    let mut browser = Browser::signed_in(&world).await;
    let good = browser.cookie.clone().expect("a cookie");
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let later = signed.replacen("v1.operator.", "v1.usage.", 1);
    for forged in [format!("{signed}.AAAA"), format!("{later}.{signature}"), "tollgate_operator=".to_owned()]
    {
        browser.cookie = Some(forged.clone());
        assert_eq!(browser.get("/dashboard").await.status, 303, "{forged}");
    }
    browser.cookie = Some(good);
    assert_eq!(browser.get("/dashboard").await.status, 200);
    // The token that the harness asks with is another one from here on.
    world.configure("[server]\nadmin_token = \"another-admin-token-0123456789\"");
    assert_eq!(world.reload().await.status, 200);
    assert_eq!(browser.get("/dashboard").await.status, 303, "the admin token has changed");
    assert_eq!(browser.sign_in(ADMIN_TOKEN).await.status, 401);
    assert_eq!(browser.sign_in("another-admin-token-0123456789").await.status, 303);
    assert_eq!(browser.get("/dashboard").await.status, 200);
    world.configure(&format!("[server]\nadmin_token = \"{ADMIN_TOKEN}\""));
    let bearer = "Bearer another-admin-token-0123456789";
    assert_eq!(asking(&world, Method::POST, "/admin/reload", &[("authorization", bearer)]).await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_admin_token_the_dashboard_says_so_and_is_closed() {
    let mut world = World::start().await;
    let mut written = world.configuration();
    written["server"].as_table_mut().expect("a table").remove("admin_token");
    world.gateway.stop().await;
    world.write_configuration(&written.to_string());
    world.gateway.restart().await;
    let mut browser = Browser::new(&world);
    for path in ["/dashboard", "/dashboard/sign-in", "/dashboard/customers"] {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, 401, "{path}");
        assert!(reply.text().contains("set server.admin_token"), "{}", reply.text());
    }
    assert_eq!(browser.sign_in("").await.status, 401);
    assert_eq!(browser.cookie, None);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_from_one_address_are_limited() {
    let world = World::start().await;
    let mut browser = Browser::new(&world);
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(browser.sign_in("a guess").await.status);
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429]].concat());
    let reply = browser.sign_in(ADMIN_TOKEN).await;
    assert_eq!((reply.status, &browser.cookie), (429, &None), "not even with the token");
    let wait: u64 = reply.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((1..=6).contains(&wait), "{wait}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_its_sessions_token_or_from_another_site_does_nothing() {
    let world = World::start().await;
    world.customer("acme").get("/signals").await;
    let (browser, other) = (Browser::signed_in(&world).await, Browser::signed_in(&world).await);
    let page = "/dashboard/customer?name=acme";
    let block = "/dashboard/customer/block";
    for fields in [
        vec![("name", "acme")],
        vec![("name", "acme"), ("csrf", "")],
        vec![("name", "acme"), ("csrf", "AAAA")],
    ] {
        assert_eq!(browser.post(block, &fields).await.status, 400, "{fields:?}");
    }
    let token = csrf(&other.page(page).await);
    let reply = browser.post(block, &[("name", "acme"), ("csrf", &token)]).await;
    assert_eq!(reply.status, 400, "another session's token");
    let token = csrf(&browser.page(page).await);
    let cookie = browser.cookie.clone().expect("a cookie");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")] {
        let fields = [("name", "acme"), ("csrf", token.as_str())];
        let request = form(browser.http.post(format!("{}{block}", browser.base)), &fields);
        let request = request.header("cookie", &cookie).header(name, value);
        assert_eq!(crate::harness::send(request).await.status, 400, "{name}");
        let request = browser.http.post(format!("{}/dashboard/sign-in", browser.base));
        let request = form(request, &[("token", ADMIN_TOKEN)]).header(name, value);
        assert_eq!(crate::harness::send(request).await.status, 400, "{name}");
    }
    let shown = world.shown("/admin/customers/acme").await;
    assert!(shown["blocked"].is_null(), "{shown}");
    assert_eq!(browser.post(block, &[("name", "acme"), ("csrf", &token)]).await.status, 303);
    assert!(!world.shown("/admin/customers/acme").await["blocked"].is_null());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_answers_to_its_own_names_alone() {
    let world = World::builder().config("[server]\nadmin_hosts = [\"Gate.internal\"]").start().await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    for path in ["/dashboard", "/", "/dashboard/sign-in", "/admin/stats"] {
        let evil =
            asking(&world, Method::GET, path, &[("host", "evil.example:9090"), ("authorization", &bearer)])
                .await;
        assert_eq!(evil.refusal(), (400, "bad_request".to_owned()), "{path}");
        assert!(evil.text().contains("server.admin_hosts"), "{}", evil.text());
        for host in ["localhost:9090", "127.0.0.1", "gate.internal:9090"] {
            let ours = asking(&world, Method::GET, path, &[("host", host), ("authorization", &bearer)]).await;
            assert_ne!(ours.status, 400, "{path} of {host}");
        }
    }
    for path in ["/metrics", "/healthz", "/readyz", "/health/billing"] {
        let monitor = asking(&world, Method::GET, path, &[("host", "tollgate-0.tollgate:9090")]).await;
        assert_eq!(monitor.status, 200, "monitors ask by names of their own: {path}");
    }
    world.reconfigure("[server]\nadmin_hosts = []").await;
    let former = asking(&world, Method::GET, "/dashboard", &[("host", "gate.internal")]).await;
    assert_eq!(former.status, 400, "a reload takes a name away");
    world.finish().await;
}
