//! Many reloads under load: nothing that is counted is lost, and nobody is turned away.

use http::Method;

use super::{applied, rejected, routes};
use crate::harness::{Behaviour, Customer, Load, Reply, World};

const RELOADS: u64 = 50;

/// The file of a turn: routes and tiers come, go and change their places.
fn file(turn: u64) -> String {
    let more = match turn % 4 {
        0 => r#"{ path = "/free", cost = 0 }, { path = "/held", cost = 7 }"#.to_owned(),
        1 => format!(r#"{{ path = "/only/{turn}", cost = {turn} }}, {{ path = "/free", cost = 0 }}"#),
        2 => r#"{ path = "/free", cost = 1, methods = ["PUT"] }, { path = "/free", cost = 0, methods = ["GET"] }"#
            .to_owned(),
        _ => r#"{ path = "/{*rest}", public = true }"#.to_owned(),
    };
    let (tier, included) = (turn % 3, 1_000_000 + turn);
    format!(
        r#"{}
        [tiers.pro.included]
        api_calls = {included}
        [tiers.a_tier_{tier}]
        included = {{ api_calls = {turn} }}
        features = ["feature_{tier}", "premium"]
        "#,
        routes(&format!(r#"{{ path = "/rare", cost = 1, rate = "1/h", burst = 2 }}, {more}"#))
    )
}

async fn post(customer: &Customer, key: &str) -> Reply {
    customer.ask(Method::POST, "/signals", |request| request.header("idempotency-key", key)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_under_load_lose_no_count_and_turn_nobody_away() {
    let world = World::builder().config(&file(0)).start().await;
    let base = world.configuration();
    let (pro, _) = world.subscriber("busy", "pro").await;
    let (other, _) = world.subscriber("busier", "pro").await;
    let bounded = world.customer("bounded");
    for _ in 0..20 {
        assert_eq!(bounded.get("/export/pdf").await.charged(), 5);
    }
    let slow = world.customer("slow");
    assert_eq!(slow.get("/rare").await.charged() + slow.get("/rare").await.charged(), 2);
    assert_eq!(post(&slow, "kept").await.charged(), 1);
    world.upstream.on("/held", Behaviour::Held);
    let waiting = world.customer("waiting");
    let held = tokio::spawn(async move { waiting.get("/held").await });
    world.upstream.arrived("/held", 1).await;

    let load = Load::start(&[pro.clone(), other], 8);
    for turn in 1..=RELOADS {
        let is_wrong = turn % 5 == 4;
        let wrong = if is_wrong { "[tiers.free]\nrate = \"fast\"" } else { "" };
        world.configure_from(base.clone(), &format!("{}{wrong}", file(turn)));
        assert_eq!(world.reload().await.status, if is_wrong { 422 } else { 200 }, "turn {turn}");
        load.answers(20).await;
        assert_eq!(
            bounded.get("/signals").await.refusal(),
            (429, "quota_exceeded".to_owned()),
            "turn {turn}"
        );
        assert_eq!(slow.get("/rare").await.refusal(), (429, "rate_limited".to_owned()), "turn {turn}");
        let included = &pro.status().await["usage"]["api_calls"]["included"];
        let in_force = if is_wrong { turn - 1 } else { turn };
        assert_eq!(included.as_u64(), Some(1_000_000 + in_force), "turn {turn}");
    }
    assert_eq!((load.lost(), load.refused()), (0, 0), "somebody was turned away");
    load.end().await;
    assert_eq!((applied(&world).await, rejected(&world).await), (RELOADS - RELOADS / 5, RELOADS / 5));

    assert_eq!(world.customer("late").get("/held").await.status, 404, "its route is gone");
    world.upstream.release();
    let held = held.await.expect("no panic");
    assert_eq!((held.status, held.charged()), (200, 7), "it ends as it began");
    assert_eq!(post(&slow, "kept").await.charged(), 0, "the key is remembered");
    assert_eq!((slow.used().await, bounded.used().await), (3, 100));
    world.finish().await;
}
