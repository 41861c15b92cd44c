//! What asks for a reload, and what keeps one from being put in force.

use http::Method;

use super::{applied, rejected, routes};
use crate::harness::{ADMIN_TOKEN, Authority, PATIENCE, World, until};
use crate::tls::in_toml;

/// Waits until a path of the public port answers with this status.
async fn until_answered(world: &World, path: &str, status: u16) {
    let customer = world.customer("waiting");
    until(&format!("{path} is {status}"), PATIENCE, async || {
        (customer.get(path).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_mistakes_changes_nothing_and_each_is_told() {
    let world = World::start().await;
    let customer = world.customer("acme");
    world.configure(
        "[tiers.free]\nincluded = { api_calls = 1 }\nrate = \"fast\"\n[server]\nlisten = \"nowhere\"",
    );
    let reply = world.reload().await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    let told = reply.json()["detail"].as_str().expect("a text").to_owned();
    assert!(told.contains("tiers.free.rate: ") && told.contains("server.listen: "), "{told}");
    assert!(told.contains("tollgate.toml:"), "a mistake says where it stands: {told}");
    let log = world.gateway.log();
    assert!(log.contains("tiers.free.rate: ") && log.contains("server.listen: "), "{log}");
    assert_eq!((applied(&world).await, rejected(&world).await), (0, 1));
    for _ in 0..3 {
        assert_eq!(customer.get("/signals").await.charged(), 1, "the old limits hold");
    }
    std::fs::remove_file(&world.gateway.config).expect("it is there");
    assert_eq!(world.reload().await.refusal(), (422, "unprocessable".to_owned()), "nothing is there to read");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_and_nothing_else_of_the_file_is_in_force() {
    let world = World::start().await;
    let base = world.configuration();
    let pair = in_toml(&Authority::new("ours").sign(&["api.test"]));
    let tls = format!("[server]\ntls = {{ {pair} }}");
    for (over, named) in [
        ("[server]\nlisten = \"127.0.0.1:1\"", "server.listen"),
        ("[server]\nadmin_listen = \"127.0.0.1:1\"", "server.admin_listen"),
        ("[server]\nthreads = 3", "server.threads"),
        ("[server]\ndata_dir = \"/tmp/elsewhere\"", "server.data_dir"),
        ("[ledger]\ndurability = \"power\"", "ledger.durability"),
        ("[meters.api_calls]\nstripe_event_name = \"calls\"", "meters"),
        ("[billing]\nreport = \"overage\"", "billing.report"),
        ("[stripe]\nsecret_key = \"sk_test_y\"", "stripe.secret_key"),
        ("[log]\nformat = \"json\"", "log.format"),
        ("[server]\nh2c_listen = [\"127.0.0.1:1\"]", "server.h2c_listen"),
        (&tls, "server.tls"),
    ] {
        let over =
            if named == "server.listen" || named == "meters" { over.to_owned() } else { format!("{over}\n") };
        world.configure_from(base.clone(), &format!("{}{over}", routes(r#"{ path = "/new", cost = 0 }"#)));
        let reply = world.reload().await;
        assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "{named}");
        assert!(reply.text().contains(&format!("{named} needs a restart")), "{named}: {}", reply.text());
        assert_eq!(world.customer("acme").get("/new").await.status, 404, "{named}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisors_signal_reloads() {
    let world = World::builder().config("[server]\nwatch = \"0s\"").start().await;
    world.configure(&routes(r#"{ path = "/new", cost = 4 }"#));
    world.gateway.hang_up();
    until_answered(&world, "/new", 200).await;
    assert_eq!((applied(&world).await, rejected(&world).await), (1, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_changed_is_read_by_itself_and_a_wrong_one_once() {
    let world = World::builder().config("[server]\nwatch = \"20ms\"").start().await;
    world.configure(&routes(r#"{ path = "/new", cost = 4 }"#));
    until_answered(&world, "/new", 200).await;
    assert_eq!((applied(&world).await, rejected(&world).await), (1, 0));
    let right = world.configuration();
    world.write_configuration("this is = no TOML at all\n=");
    until("it is found wrong", PATIENCE, async || (rejected(&world).await == 1).then_some(())).await;
    world.configure_from(right, &routes(r#"{ path = "/newer", cost = 0 }"#));
    until_answered(&world, "/newer", 200).await;
    assert_eq!((applied(&world).await, rejected(&world).await), (2, 1), "each file was read once");
    assert_eq!(world.customer("acme").get("/new").await.status, 404);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_admin_token_reloads() {
    let world = World::start().await;
    for token in [None, Some("another")] {
        assert_eq!(world.admin(Method::POST, "/admin/reload", token).await.status, 401);
    }
    assert_eq!(world.admin(Method::GET, "/admin/reload", Some(ADMIN_TOKEN)).await.status, 405);
    assert_eq!((applied(&world).await, rejected(&world).await), (0, 0));
    world.finish().await;
}
