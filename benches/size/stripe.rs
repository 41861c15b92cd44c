//! News from Stripe: reading everything again, and webhooks as they come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::runtime::Runtime;
use tollgate::sandbox::{self, Sandbox, SeedTier, Subscribed};

use super::gateway::{Gateway, WEBHOOK_SECRET, at_stripe, token};
use super::{asked, runtime};

/// A gateway beside a Stripe that has customers already.
struct World {
    runtime: Runtime,
    stripe: Sandbox,
    subscribed: Vec<Subscribed>,
    folder: tempfile::TempDir,
}

impl World {
    fn new(customers: u64) -> Self {
        let runtime = runtime();
        let quiet = sandbox::Options { quiet: true, ..sandbox::Options::default() };
        let stripe = runtime.block_on(Sandbox::start(quiet)).expect("a free port");
        let tier = |name: &str| SeedTier {
            name: name.to_owned(),
            monthly_cents: Some(1_900),
            yearly_cents: None,
            included: 0,
            overage_cents: None,
        };
        let sold = sandbox::Catalogue {
            currency: "usd".to_owned(),
            event_name: "api_calls".to_owned(),
            meter: "api_calls".to_owned(),
            tiers: vec![tier("starter"), tier("pro")],
            id_prefix: Some("bench".to_owned()),
        };
        stripe.seed(&sold).expect("a sound catalogue");
        let subscribe = |number| stripe.create_subscribed_customer("starter", Some(&name(number)));
        let subscribed = (0..customers).map(|number| subscribe(number).expect("a tier")).collect();
        Self { runtime, stripe, subscribed, folder: tempfile::tempdir().expect("a folder") }
    }

    fn gateway(&self) -> Gateway {
        let mut gateway = Gateway::start(self.folder.path(), &at_stripe(&self.stripe.base_url()));
        gateway.until_it_listens();
        gateway
    }
}

fn name(number: u64) -> String {
    format!("user-{number:09}")
}

/// Reads all subscriptions twice: when nothing is known of them, and when all are.
pub fn sync() {
    let world = World::new(asked("TOLLGATE_BENCH_CUSTOMERS", 10_000));
    let started = Instant::now();
    let gateway = world.gateway();
    world.sync(&gateway, "the gateway's start and its first sync", started, (0, 0));
    let calls = ["subscription_list", "subscription_retrieve"];
    let [lists, singles] = calls.map(|operation| world.runtime.block_on(gateway.calls(operation)));
    world.sync(&gateway, "once more, with everything known", Instant::now(), (lists, singles));
}

impl World {
    fn sync(&self, gateway: &Gateway, what: &str, started: Instant, (lists, singles): (u64, u64)) {
        let done = self.runtime.block_on(gateway.operate(Method::POST, "/admin/sync"));
        let took = started.elapsed().as_secs_f64();
        let customers = self.subscribed.len();
        assert_eq!(done, json!({ "synced": customers, "failed": 0 }));
        let lists = self.runtime.block_on(gateway.calls("subscription_list")) - lists;
        let singles = self.runtime.block_on(gateway.calls("subscription_retrieve")) - singles;
        println!("{what}: {customers} subscriptions in {took:.2} s, {lists} pages, {singles} read singly");
    }
}

/// Changes a second, and what Stripe tells of each: 200 events a second.
const CHANGES_PER_SECOND: u64 = 25;
const KINDS: [&str; 8] = [
    "invoice.created",
    "invoice.finalized",
    "payment_intent.created",
    "payment_intent.succeeded",
    "charge.succeeded",
    "invoice.paid",
    "invoice.payment_succeeded",
    "customer.subscription.updated",
];

/// Customers who change their tier, each told by eight events at once: how long these are waited for, and how long it
/// takes until the tier is in force.
pub fn webhooks() {
    let (customers, seconds) = (1_000, asked("TOLLGATE_BENCH_SECONDS", 20));
    let world = World::new(customers);
    let gateway = Arc::new(world.gateway());
    world.runtime.block_on(gateway.operate(Method::POST, "/admin/sync"));
    let asks = Arc::new(Asks::new(&world, gateway));
    let changes = CHANGES_PER_SECOND * seconds;
    let (answers, in_force) = world.runtime.block_on(async {
        let mut every = tokio::time::interval(Duration::from_millis(1_000 / CHANGES_PER_SECOND));
        let mut running = Vec::new();
        for turn in 0..changes {
            every.tick().await;
            let (asks, subscribed) = (asks.clone(), world.subscribed[(turn % customers) as usize].clone());
            let to = if (turn / customers).is_multiple_of(2) { "pro" } else { "starter" };
            running.push(tokio::spawn(async move { asks.change(turn, customers, &subscribed, to).await }));
        }
        let (mut answers, mut in_force) = (Vec::new(), Vec::new());
        for change in running {
            let (times, time) = change.await.expect("ran");
            answers.extend(times);
            in_force.push(time);
        }
        (answers, in_force)
    });
    let reads = world.runtime.block_on(asks.gateway.calls("subscription_retrieve"));
    println!("{} events in {seconds} s, {reads} subscriptions read for them", answers.len());
    println!("an event is answered after {}", spread(answers));
    println!("a tier is in force after {}", spread(in_force));
}

struct Asks {
    gateway: Arc<Gateway>,
    stripe: String,
    http: reqwest::Client,
}

impl Asks {
    fn new(world: &World, gateway: Arc<Gateway>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { gateway, stripe: world.stripe.base_url(), http }
    }

    /// The time of each answer, and until the tier is in force, in milliseconds.
    async fn change(&self, turn: u64, customers: u64, of: &Subscribed, to: &str) -> (Vec<f64>, f64) {
        self.change_at_stripe(&of.subscription, to).await;
        let started = Instant::now();
        let told = KINDS.map(|kind| self.tell(turn, kind, of));
        let answers = futures_util::future::join_all(told).await;
        let token = token(&name(turn % customers));
        while self.gateway.status(&token).await["tier"] != to {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (answers, millis(started))
    }

    async fn change_at_stripe(&self, subscription: &str, to: &str) {
        let url = format!("{}/v1/subscriptions/{subscription}", self.stripe);
        let known = self.http.get(&url).bearer_auth("sk_test_bench").send().await.expect("an answer");
        let known: Value = known.json().await.expect("JSON");
        let item = known["items"]["data"][0]["id"].as_str().expect("an item");
        let form = format!("items[0][id]={item}&items[0][price]=price_bench_{to}_monthly");
        let request = self.http.post(&url).bearer_auth("sk_test_bench").body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert!(request.send().await.expect("an answer").status().is_success());
    }

    async fn tell(&self, turn: u64, kind: &str, of: &Subscribed) -> f64 {
        let object = match kind.split_once('.') {
            Some(("invoice", _)) => {
                let parent = json!({ "subscription_details": { "subscription": of.subscription } });
                json!({ "id": format!("in_{turn}"), "object": "invoice", "customer": of.customer, "parent": parent })
            }
            Some(("customer", _)) => {
                json!({ "id": of.subscription, "object": "subscription", "customer": of.customer })
            }
            _ => json!({ "id": format!("x_{turn}"), "object": "charge", "customer": of.customer }),
        };
        let at = tollgate::clock::now().seconds();
        let event = json!({
            "id": format!("evt_{turn}_{kind}"), "object": "event", "type": kind, "created": at,
            "livemode": false, "data": { "object": object },
        });
        let body = event.to_string();
        let url = format!("http://{}/webhooks/stripe", self.gateway.public);
        let request = self.http.post(url).header("stripe-signature", signature(at, &body)).body(body);
        let started = Instant::now();
        assert!(request.send().await.expect("an answer").status().is_success());
        millis(started)
    }
}

fn signature(at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("any length will do");
    mac.update(format!("{at}.{body}").as_bytes());
    let hex = format!("{:x}", mac.finalize().into_bytes());
    format!("t={at},v1={hex}")
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn spread(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("{:.1} ms (median), p99 {:.1} ms, at most {:.1} ms", at(0.5), at(0.99), at(1.0))
}
