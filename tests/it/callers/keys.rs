//! API keys: made, shown, replaced, expired and revoked.

use http::Method;
use serde_json::{Value, json};

use super::{KEYS, Made, caller, make, refused, revoke};
use crate::harness::{ADMIN_TOKEN, PATIENCE, World, rfc3339, token, unix_now, until};

async fn with_keys() -> World {
    World::builder().config(KEYS).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pays_for_its_customer_as_a_token_does_and_stays_here() {
    let world = with_keys().await;
    let (made, acme) = caller(&world, "acme").await;
    let as_bearer = acme.get("/signals").await;
    assert_eq!((as_bearer.status, as_bearer.charged()), (200, 1));
    let headers = &as_bearer.json()["headers"];
    assert_eq!(headers["x-tollgate-customer"], json!(["acme"]));
    assert_eq!(headers["x-tollgate-member"], json!([format!("key {}", made.id)]));
    assert_eq!(headers["authorization"], Value::Null);
    let own = world.ask(Method::GET, "/free", |request| request.header("X-API-Key", &made.key)).await;
    assert_eq!(own.status, 200);
    assert_eq!(own.json()["headers"]["x-api-key"], Value::Null, "servers do not see it");
    assert_eq!(world.customer("acme").used().await, 1, "a token of the same name is the same customer");
    assert_eq!(acme.status().await["customer"], "acme", "a key asks for its customer's status");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_customer_has_one_of_its_own_that_no_token_can_name() {
    let world = with_keys().await;
    let made = make(&world, &json!({ "name": "a small shop" })).await;
    let own = format!("key {}", made.id);
    let caller = made.caller(&world, &own);
    assert_eq!(caller.get("/signals/history/x").await.charged(), 2);
    assert_eq!(caller.used().await, 2);
    let forged = token(&json!({ "sub": own, "exp": unix_now() + 60 }));
    let reply = world.ask(Method::GET, "/signals", |request| request.bearer_auth(forged)).await;
    assert_eq!(reply.refusal(), refused("token_invalid"));
    let spelt = world.operate("/admin/keys", &json!({ "name": "x", "customer": own })).await;
    assert_eq!(spelt.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_once_and_another_one_of_the_same_customer_is_not() {
    let world = with_keys().await;
    let (made, one) = caller(&world, "acme").await;
    let (_, other) = caller(&world, "acme").await;
    assert_eq!(one.get("/signals").await.charged(), 1);
    let reply = revoke(&world, &made.id).await;
    assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("revoked")));
    assert_eq!(one.get("/signals").await.refusal(), refused("token_invalid"));
    assert_eq!(other.get("/signals").await.charged(), 1);
    assert_eq!(revoke(&world, &made.id).await.json()["revoked_at"], reply.json()["revoked_at"]);
    assert_eq!(revoke(&world, "nobodys0").await.refusal(), (404, "not_found".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_what_became_of_them_survive_a_kill() {
    let mut world = with_keys().await;
    let (_, kept) = caller(&world, "acme").await;
    let (made, gone) = caller(&world, "acme").await;
    revoke(&world, &made.id).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(kept.get("/signals").await.charged(), 1);
    assert_eq!(gone.get("/signals").await.refusal(), refused("token_invalid"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_until_it_expires() {
    let world = with_keys().await;
    let wanted = json!({ "customer": "acme", "name": "brief", "expires": rfc3339(unix_now() + 2) });
    let brief = make(&world, &wanted).await.caller(&world, "acme");
    assert_eq!(brief.get("/free").await.status, 200);
    let late = until("the key expires", PATIENCE, async || {
        let reply = brief.get("/free").await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(late.refusal(), refused("token_expired"));
    assert!(late.header("www-authenticate").is_some_and(|c| c.contains(r#"error="invalid_token""#)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_the_one_that_takes_its_place_both_work_for_a_while() {
    let world = with_keys().await;
    let (made, old) = caller(&world, "acme").await;
    let rotate = async |id: &str, overlap: &str| {
        world.operate(&format!("/admin/keys/{id}/rotate"), &json!({ "overlap": overlap })).await
    };
    let second = Made::read(&rotate(&made.id, "1h").await.json());
    let new = second.caller(&world, "acme");
    assert_ne!(made.key, second.key);
    assert_eq!((old.get("/free").await.status, new.get("/free").await.status), (200, 200));
    let again = rotate(&made.id, "1h").await;
    assert_eq!(again.refusal(), (409, "conflict".to_owned()));
    assert!(again.json()["detail"].as_str().is_some_and(|detail| detail.contains(&second.id)));
    let third = Made::read(&rotate(&second.id, "0s").await.json()).caller(&world, "acme");
    assert_eq!(new.get("/free").await.refusal(), refused("token_invalid"), "without an overlap it is over");
    assert_eq!((old.get("/free").await.status, third.get("/free").await.status), (200, 200));
    assert_eq!(rotate("nobodys0", "1h").await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(rotate(&made.id, "soon").await.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_are_one_too_many() {
    let world = with_keys().await;
    let (made, acme) = caller(&world, "acme").await;
    let token = world.customer("acme").token;
    let key = made.key.as_str();
    for authorization in [&token, &acme.token] {
        let both = world
            .ask(Method::GET, "/signals", |request| {
                request.bearer_auth(authorization).header("x-api-key", key)
            })
            .await;
        assert_eq!(both.refusal(), (400, "bad_request".to_owned()));
    }
    let twice = world
        .ask(Method::GET, "/signals", |request| request.header("x-api-key", key).header("x-api-key", key));
    assert_eq!(twice.await.refusal(), (400, "bad_request".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_off_none_is_made_and_none_is_accepted() {
    let mut world = with_keys().await;
    let (made, acme) = caller(&world, "acme").await;
    let written = std::fs::read_to_string(&world.gateway.config).expect("a configuration");
    let off = written.replace("[auth.keys]\nenabled = true", "[auth.keys]\nenabled = false");
    assert_ne!(off, written);
    world.gateway.stop().await;
    std::fs::write(&world.gateway.config, off).expect("a configuration");
    world.gateway.restart().await;
    assert_eq!(acme.get("/signals").await.refusal(), refused("token_invalid"));
    let any = world.ask(Method::GET, "/health", |request| request.header("x-api-key", &made.key)).await;
    assert_eq!(any.json()["headers"]["x-api-key"], json!([made.key]), "it is a header like any other");
    let reply = world.operate("/admin/keys", &json!({ "name": "x" })).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()));
    assert_eq!(revoke(&world, &made.id).await.status, 200, "what there is can still be ended");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_and_prefix_are_the_operators_choice() {
    let chosen = "[auth.keys]\nheader = \"X-Shop-Key\"\nprefix = \"shop\"";
    let world = World::builder().config(chosen).start().await;
    let made = make(&world, &json!({ "customer": "acme", "name": "x" })).await;
    assert!(made.key.starts_with(&format!("shop_{}_", made.id)), "of a test: {}", made.key);
    let reply = world.ask(Method::GET, "/free", |request| request.header("x-shop-key", &made.key)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["headers"]["x-shop-key"], Value::Null);
    let usual = world.ask(Method::GET, "/free", |request| request.header("x-api-key", &made.key)).await;
    assert_eq!(usual.refusal(), refused("token_missing"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_keys_and_who_did_what_and_never_a_key() {
    let world = with_keys().await;
    let (made, acme) = caller(&world, "acme").await;
    let other = make(&world, &json!({ "name": "the other" })).await;
    assert_eq!(acme.get("/free").await.status, 200);
    let all = world.shown("/admin/keys").await;
    let ids: Vec<&str> =
        all["data"].as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids, [made.id.as_str(), &other.id]);
    let page = world.shown("/admin/keys?limit=1").await;
    assert_eq!((&page["data"][0]["id"], &page["has_more"]), (&json!(made.id), &json!(true)));
    let next = page["next_cursor"].as_str().expect("a cursor");
    assert_eq!(world.shown(&format!("/admin/keys?cursor={next}")).await["data"][0]["id"], other.id);
    let of_acme = world.shown("/admin/keys?customer=acme").await;
    let row = &of_acme["data"][0];
    assert_eq!(of_acme["data"].as_array().map(Vec::len), Some(1));
    for (key, value) in [
        ("customer", json!("acme")),
        ("name", json!("of a test")),
        ("state", json!("active")),
        ("scopes", Value::Null),
        ("expires_at", Value::Null),
        ("key", Value::Null),
    ] {
        assert_eq!(row[key], value, "{key} of {row}");
    }
    assert_eq!(world.shown(&format!("/admin/keys/{}", made.id)).await["id"], made.id);
    revoke(&world, &made.id).await;
    let trail = world.shown("/admin/audit?customer=acme").await.to_string();
    assert!(trail.contains("key_created") && trail.contains("key_revoked") && trail.contains(&made.id));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_key_was_last_used_is_written_down() {
    let mut world = with_keys().await;
    let (made, acme) = caller(&world, "acme").await;
    assert_eq!(acme.get("/free").await.status, 200);
    let path = format!("/admin/keys/{}", made.id);
    assert_eq!(world.shown(&path).await["last_used_at"], Value::Null, "not at once");
    world.gateway.stop().await;
    world.gateway.restart().await;
    assert!(world.shown(&path).await["last_used_at"].is_string());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_links_its_customer_to_one_at_stripe() {
    let world = with_keys().await;
    let subscribed = world.stripe.subscribe("pro", None);
    let wanted = json!({ "customer": "acme", "name": "x", "stripe_customer": subscribed.customer });
    let acme = make(&world, &wanted).await.caller(&world, "acme");
    acme.until_status("tier", "pro").await;
    assert_eq!(acme.get("/premium").await.charged(), 1);
    let bad = json!({ "name": "x", "stripe_customer": "sub_1" });
    assert_eq!(world.operate("/admin/keys", &bad).await.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_has_no_keys_left() {
    let world = with_keys().await;
    let (_, jane) = caller(&world, "jane").await;
    assert_eq!(jane.get("/free").await.status, 200);
    let path = "/admin/customers/jane";
    until("jane can be erased", PATIENCE, async || {
        (world.admin(Method::DELETE, path, Some(ADMIN_TOKEN)).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(jane.get("/free").await.refusal(), refused("token_invalid"));
    assert_eq!(world.shown("/admin/keys").await["data"], json!([]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_key_can_be_is_refused_with_what_to_write() {
    let world = with_keys().await;
    for (wanted, said) in [
        (json!({}), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "name": "x", "customer": "" }), "customer"),
        (json!({ "name": "x", "customer": "two words" }), "customer"),
        (json!({ "name": "x", "expires": "soon" }), "expires"),
        (json!({ "name": "x", "expires": "2001-01-01" }), "has passed"),
        (json!({ "name": "x", "scopes": ["read"] }), "scope"),
    ] {
        let reply = world.operate("/admin/keys", &wanted).await;
        assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "{wanted}");
        assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{wanted}");
    }
    let odd = world.operate("/admin/keys", &json!({ "name": "x", "tier": "pro" })).await;
    assert_eq!(odd.refusal(), (400, "bad_request".to_owned()));
    let nobody = world.admin(Method::GET, "/admin/keys", None).await;
    assert_eq!(nobody.refusal(), refused("token_missing"));
    world.finish().await;
}
