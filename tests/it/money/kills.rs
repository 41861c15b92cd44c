//! `kill -9` at any moment loses nothing that a client was charged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::harness::{ADMIN_TOKEN, Customer, PATIENCE, World, until};

const KILLS: u64 = 20;
const CLIENTS: usize = 16;
/// Requests answered between two kills.
const BETWEEN: u64 = 60;

/// Clients that never rest; `answered` counts whole answers.
struct Load {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(customers: &[Customer]) -> Self {
        let (answered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let clients = (0..CLIENTS).map(|at| {
            let customer = customers[at % customers.len()].clone();
            let (answered, stop) = (answered.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let path = ["/signals", "/signals/history/ACME", "/export/pdf"][at % 3];
                    match customer.try_get(path).await {
                        Ok(reply) if reply.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
                        // The gateway is away: nothing to do but to ask again, soon.
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            })
        });
        let clients = clients.collect();
        Self { answered, stop, clients }
    }

    async fn answers(&self, more: u64) {
        let target = self.answered.load(Ordering::Relaxed) + more;
        let answered = async || (self.answered.load(Ordering::Relaxed) >= target).then_some(());
        until("requests are answered", PATIENCE, answered).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no client met anything but answers and lost connections");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_no_charged_unit() {
    let mut world = World::start().await;
    let customers: Vec<_> = (0..4)
        .map(|at| {
            let name = format!("killed-{at}");
            let subscribed = world.stripe.subscribe("pro", Some(&name));
            world.claiming(&name, Some(&subscribed.customer))
        })
        .collect();
    let load = Load::start(&customers);
    for _ in 0..KILLS {
        load.answers(BETWEEN).await;
        world.gateway.kill9();
        world.gateway.restart().await;
    }
    load.answers(BETWEEN).await;
    load.end().await;
    let (charged, doubtful) = world.seen();
    assert!(charged >= KILLS * BETWEEN, "there was load");
    assert!(
        doubtful <= KILLS * CLIENTS as u64 * 5,
        "only requests in flight at a kill are in doubt: {doubtful}"
    );
    world.flush_all().await;
    let metered: u64 = world.stripe.metered().await.values().sum();
    eprintln!(
        "{KILLS} kills: clients saw {charged} units charged, Stripe holds {metered}, {doubtful} were in flight"
    );
    assert!(metered >= charged, "{} charged units never reached Stripe", charged - metered);
    assert!(metered - charged <= doubtful, "{} units too much, {doubtful} in doubt", metered - charged);
    // And the same for every customer alone.
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_event_that_was_tried_and_never_answered_counts_once_after_a_kill() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    for _ in 0..7 {
        assert_eq!(customer.get("/export/csv").await.charged(), 3);
    }
    // It takes effect, and the gateway dies before it has an answer to write down.
    world.stripe.break_meter_events(serde_json::json!({ "drop": true, "when": "after" })).await;
    let url = format!("http://{}/admin/outbox/flush", world.gateway.admin);
    let flush = reqwest::Client::new().post(url).bearer_auth(ADMIN_TOKEN).send();
    let flush = tokio::spawn(flush);
    until("the event takes effect", PATIENCE, async || {
        (world.stripe.units_of(&subscribed.customer).await == 21).then_some(())
    })
    .await;
    world.gateway.kill9();
    // Whether the flush still got its answer does not matter.
    let _ = flush.await.expect("the task ran");
    world.gateway.restart().await;
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 21);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_the_same_after_a_kill() {
    let mut world = World::start().await;
    let customer = world.customer("free-rider");
    for _ in 0..40 {
        assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    }
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 80);
    for _ in 0..10 {
        assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    }
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.finish().await;
}
