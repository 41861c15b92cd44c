//! Who is let in, and how often.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::json;

use super::{Browser, ask_link, link, visitor};
use crate::harness::{ADMIN_TOKEN, Customer, World, unix_now};

const APP: &str = "[billing]\nreturn_origins = [\"https://app.example\"]";

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_the_page_once() {
    let world = World::start().await;
    let customer = world.customer("acme");
    let made = ask_link(&customer, &json!({})).await.json();
    let expires =
        made["expires_at"].as_str().expect("an instant").parse::<jiff::Timestamp>().expect("RFC 3339");
    assert!((295..=300).contains(&(expires.as_second() - unix_now())), "{expires}");
    let link = made["url"].as_str().expect("a link");
    assert!(link.starts_with(&format!("http://{}/billing/open?link=", world.gateway.public)), "{link}");
    let browser = Browser::new(world.gateway.public);
    let looked =
        world.ask(Method::HEAD, &link[link.find("/billing").expect("a path")..], |request| request).await;
    assert_eq!(looked.status, 404, "looking at a link does not use it");
    browser.enter(link).await;
    assert!(browser.page().await.contains("<strong>acme</strong>"));
    for _ in 0..2 {
        let again = browser.follow(link).await;
        assert_eq!((again.status, again.header("set-cookie")), (401, None));
        assert!(again.text().contains("ask the app for another"), "{}", again.text());
        assert_eq!(again.header("referrer-policy"), Some("no-referrer"));
    }
    assert!(browser.page().await.contains("acme"), "the session goes on");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_with_the_admin_token_asks_for_a_link() {
    let world = World::builder().config(APP).start().await;
    let customer = world.customer("acme");
    customer.status().await;
    let wanted = json!({ "return_url": "https://app.example/account?tab=1&x=2" });
    let made = world.operate("/admin/customers/acme/link", &wanted).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let browser = Browser::new(world.gateway.public);
    browser.enter(made.json()["url"].as_str().expect("a link")).await;
    let page = browser.page().await;
    assert!(page.contains("href=\"https://app.example/account?tab=1&amp;x=2\""), "{page}");
    let unknown = world.operate("/admin/customers/nobody/link", &json!({})).await;
    assert_eq!(unknown.refusal(), (404, "not_found".to_owned()), "nobody is made by being asked for");
    let evil =
        world.operate("/admin/customers/acme/link", &json!({ "return_url": "https://evil.example/" })).await;
    assert_eq!(evil.refusal(), (422, "unprocessable".to_owned()));
    let bare = world.admin(Method::POST, "/admin/customers/acme/link", None).await;
    assert_eq!(bare.status, 401);
    let read = world.admin(Method::GET, "/admin/customers/acme/link", Some(ADMIN_TOKEN)).await;
    assert_eq!((read.status, read.header("allow")), (405, Some("POST")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_made_for_whom_nobody_stands() {
    let anonymous = "routes = [{ path = \"/signals\", cost = 1, auth = \"optional\" }]\n\
         [auth.anonymous]\ntier = \"free\"\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let world = World::builder().config(APP).config(anonymous).start().await;
    let stranger = world.customer("ip 203.0.113.7").showing_nothing();
    let reply = stranger
        .ask(Method::GET, "/signals", |request| request.header("x-forwarded-for", "203.0.113.7"))
        .await;
    assert_eq!(reply.charged(), 1);
    let made = world.operate("/admin/customers/ip%20203.0.113.7/link", &json!({})).await;
    assert_eq!(made.refusal(), (422, "unprocessable".to_owned()));
    assert!(made.text().contains("anonymous"), "{}", made.text());
    assert_eq!(ask_link(&stranger, &json!({})).await.refusal(), (401, "token_missing".to_owned()));
    let elsewhere = ask_link(&world.customer("acme"), &json!({ "return_url": "https://evil.example" })).await;
    assert_eq!(elsewhere.refusal(), (422, "unprocessable".to_owned()));
    let misspelt = ask_link(&world.customer("acme"), &json!({ "customer": "other" })).await;
    assert_eq!(misspelt.refusal(), (400, "bad_request".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_public_url_the_mistake_is_said() {
    let world = World::start().await;
    let mut config = world.configuration();
    config["server"].as_table_mut().expect("a table").remove("public_url");
    world.write_configuration(&config.to_string());
    world.reloaded().await;
    let reply = ask_link(&world.customer("acme"), &json!({})).await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    assert!(reply.text().contains("server.public_url"), "{}", reply.text());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_link_or_cookie_opens_nothing() {
    let world = World::start().await;
    let browser = visitor(&world, &world.customer("acme")).await;
    let (real, link) = (browser.cookie(), link(&world.customer("acme")).await);
    for forged in [
        format!("{link}A"),
        link[..link.len() - 4].to_owned(),
        format!("{}x", &link[..=link.find('=').expect("a value")]),
    ] {
        assert_eq!(browser.follow(&forged).await.status, 401, "{forged}");
    }
    let parts: Vec<_> = real.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode("other\n");
    let renamed: Vec<_> =
        parts.iter().enumerate().map(|(at, part)| if at == 2 { &other } else { *part }).collect();
    for forged in [renamed.join("."), real[..real.len() - 2].to_owned(), "tollgate_usage=x".to_owned()] {
        browser.show(&forged);
        let reply = browser.get("/billing").await;
        assert_eq!(reply.status, 401, "{forged}");
        assert!(reply.text().contains("Open this page from your app"), "{}", reply.text());
    }
    browser.show(&format!("other=städte; {real}"));
    assert!(browser.page().await.contains("acme"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_opens_pages_and_no_endpoint() {
    let world = World::start().await;
    let browser = visitor(&world, &world.customer("acme")).await;
    for path in ["/billing/status", "/billing/usage", "/billing/invoices", "/billing/portal"] {
        assert_eq!(browser.get(path).await.refusal(), (401, "token_missing".to_owned()), "{path}");
    }
    let posted =
        world.ask(Method::POST, "/billing/link", |request| request.header("cookie", browser.cookie())).await;
    assert_eq!(posted.refusal(), (401, "token_missing".to_owned()), "a session makes no further session");
    let operator = Browser::new(world.gateway.admin);
    for name in ["tollgate_usage=", "tollgate_operator="] {
        operator.show(&browser.cookie().replace("tollgate_usage=", name));
        assert_eq!(operator.get("/admin/stats").await.refusal(), (401, "token_missing".to_owned()));
        let reply = operator.get("/dashboard").await;
        let leads_to_the_door =
            reply.header("location").is_some_and(|to| to.starts_with("/dashboard/sign-in"));
        assert!(reply.status == 303 && leads_to_the_door, "{name}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_no_page_is_answered_as_ever() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/billing").await.refusal(), (404, "not_found".to_owned()));
    let posted =
        customer.ask(Method::POST, "/billing", |request| request.header("accept", "text/html")).await;
    assert_eq!(posted.refusal(), (404, "not_found".to_owned()));
    for path in ["/billing/nothing", "/billing/page/cancel", "/billing/open/x"] {
        let reply = Browser::new(world.gateway.public).get(path).await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let stranger = Browser::new(world.gateway.public).get("/billing").await;
    assert_eq!((stranger.status, stranger.header("content-type")), (401, Some("text/html; charset=utf-8")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_the_secret_that_it_was_made_with_goes() {
    let world = World::start().await;
    let customer: Customer = world.customer("acme");
    let browser = visitor(&world, &customer).await;
    world.reconfigure("[stripe]\nwebhook_secrets = [\"whsec_newer\", \"whsec_only_for_tests\"]").await;
    assert!(browser.page().await.contains("acme"), "while it is being rolled");
    let rolled = visitor(&world, &customer).await;
    world.reconfigure("[stripe]\nwebhook_secrets = [\"whsec_newer\"]").await;
    assert_eq!(browser.get("/billing").await.status, 401);
    assert!(rolled.page().await.contains("acme"));
    world.finish().await;
}
