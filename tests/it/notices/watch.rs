//! `GET /admin/events`: what happens, as it happens.

use http::Method;
use serde_json::Value;

use crate::harness::{ADMIN_TOKEN, PATIENCE, World};

/// A stream of server-sent events.
struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(world: &World) -> Self {
        let url = format!("http://{}/admin/events", world.gateway.admin);
        let answer =
            reqwest::Client::new().get(url).bearer_auth(ADMIN_TOKEN).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The data of the next one of a kind; none when the stream ends.
    async fn next(&mut self, kind: &str) -> Option<Value> {
        let next = tokio::time::timeout(PATIENCE, self.read_to(kind)).await;
        next.unwrap_or_else(|_| panic!("no {kind} in time; what came after the last: {}", self.text))
    }

    async fn read_to(&mut self, kind: &str) -> Option<Value> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
                if field("event:") == Some(kind) {
                    return Some(serde_json::from_str(field("data:").expect("data")).expect("JSON"));
                }
            }
            let chunk = self.answer.chunk().await.ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn data_of(&mut self, kind: &str) -> Value {
        self.next(kind).await.unwrap_or_else(|| panic!("the stream ended before {kind}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_sees_tiers_change_refusals_and_flushes_until_the_gateway_stops() {
    let mut world = World::start().await;
    let missing = world.admin(Method::GET, "/admin/events", None).await;
    assert_eq!(missing.refusal(), (401, "token_missing".to_owned()));
    let (mut events, mut another) = (Events::open(&world).await, Events::open(&world).await);
    let (customer, _) = world.subscriber("acme", "starter").await;
    let changed = events.data_of("tier.changed").await;
    assert_eq!((&changed["customer"], &changed["to"]), (&"acme".into(), &"starter".into()));
    assert_eq!(customer.get("/premium").await.status, 403);
    let refused = events.data_of("refusal").await;
    assert_eq!((&refused["customer"], &refused["route"]), (&"acme".into(), &"/premium".into()));
    assert_eq!((&refused["code"], &refused["status"]), (&"feature_not_included".into(), &403.into()));
    customer.get("/export/csv").await;
    let flushed = events.data_of("flush").await;
    assert_eq!(flushed["flushed"]["sealed"], 1, "{flushed}");
    assert_eq!(another.data_of("tier.changed").await, changed, "each sees all");
    world.gateway.stop().await;
    assert_eq!(events.next("nothing more").await, None);
    world.finish().await;
}
