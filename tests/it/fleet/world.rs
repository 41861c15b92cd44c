//! A fleet to break: three gateways' real binaries that share a Redis, one API and one Stripe.
//!
//! What clients were told is counted over all nodes. [`World::finish`] ends each test: it compares that with the
//! ledgers of all nodes together and with Stripe's meters. A world that is dropped without it fails the test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http::Method;
use reqwest::RequestBuilder;
use serde_json::Value;
use tempfile::TempDir;
use tollgate::sandbox::{Options, Subscribed, WebhookEndpoint};
use toml::Table;

use super::redis::Redis;
use crate::harness::books::{self, Seen};
use crate::harness::config::{self, Addresses};
use crate::harness::{
    ADMIN_TOKEN, Customer, Gateway, PATIENCE, Reply, Stripe, Upstream, WEBHOOK_SECRET, free_address, send,
    until,
};

const NAMES: [&str; 3] = ["one", "two", "three"];

pub struct World {
    pub nodes: Vec<Node>,
    pub upstream: Upstream,
    pub stripe: Stripe,
    seen: Arc<Seen>,
    /// What every node is told.
    config: Table,
    finished: bool,
    /// Removed last.
    folder: TempDir,
}

/// One gateway of the fleet.
pub struct Node {
    pub gateway: Gateway,
    http: reqwest::Client,
    seen: Arc<Seen>,
}

/// What a fleet should be like.
pub struct Builder {
    /// What each node calls Redis.
    redis: [String; 3],
    config: Table,
    /// Which nodes Stripe tells its news to.
    told: Vec<usize>,
}

impl Builder {
    /// Merges TOML over the usual configuration of every node.
    pub fn config(mut self, text: &str) -> Self {
        config::merge(&mut self.config, config::parse(text));
        self
    }

    /// One of the nodes knows Redis by another address.
    pub fn by(mut self, node: usize, redis: &str) -> Self {
        redis.clone_into(&mut self.redis[node]);
        self
    }

    /// Stripe tells its news to these nodes; to the first else.
    pub fn told(mut self, nodes: &[usize]) -> Self {
        self.told = nodes.to_vec();
        self
    }

    /// Starts everything; returns once all nodes are ready.
    pub async fn start(self) -> World {
        // A second installation is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let upstream = Upstream::start().await;
        let ports = NAMES.map(|_| (free_address(), free_address()));
        let endpoint = |node: usize| WebhookEndpoint {
            url: format!("http://{}/webhooks/stripe", ports[node].0),
            secret: WEBHOOK_SECRET.to_owned(),
        };
        let options =
            Options { webhooks: self.told.iter().copied().map(endpoint).collect(), ..Options::default() };
        let stripe = Stripe::start(ports[0].0, false, options).await;
        let seen = Arc::new(Seen::default());
        let http = client();
        let mut world =
            World { nodes: Vec::new(), upstream, stripe, seen, config: self.config, finished: false, folder };
        for ((name, redis), ports) in NAMES.iter().zip(&self.redis).zip(ports) {
            let gateway = world.gateway(name, name, redis, ports);
            world.nodes.push(Node { gateway, http: http.clone(), seen: world.seen.clone() });
        }
        world.start_all().await;
        world
    }
}

/// A busy machine is not away, and no refusal comes of it.
fn member(name: &str, redis: &str) -> Table {
    config::parse(&format!(
        r#"
        [fleet]
        redis = "{redis}"
        node = "{name}"
        redis_timeout = "1s"
        lease_wait = "5s"
        "#
    ))
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

impl World {
    /// A fleet on a Redis.
    pub fn on(redis: &str) -> Builder {
        let redis = NAMES.map(|_| redis.to_owned());
        Builder { redis, config: Table::new(), told: vec![0] }
    }

    /// The usual one.
    pub async fn start(redis: &Redis) -> Self {
        Self::on(&redis.url()).start().await
    }

    /// One that calls itself `name`, with a data folder of its own; not started.
    fn gateway(&self, folder: &str, name: &str, redis: &str, ports: (SocketAddr, SocketAddr)) -> Gateway {
        let folder = self.folder.path().join(folder);
        std::fs::create_dir(&folder).expect("a temporary folder");
        let (public, admin) = ports;
        let gateway = Gateway::new(public, admin, &folder);
        let addresses =
            Addresses { public, admin, upstream: self.upstream.address, stripe: self.stripe.url() };
        let mut written = config::base(&addresses, &gateway.data_dir);
        config::merge(&mut written, member(name, redis));
        config::merge(&mut written, self.config.clone());
        std::fs::write(&gateway.config, written.to_string()).expect("a writable folder");
        gateway
    }

    /// A gateway beside the fleet's own that calls itself `name`, and is not started.
    pub fn stranger(&self, name: &str, redis: &str) -> Gateway {
        self.gateway("stranger", name, redis, (free_address(), free_address()))
    }

    async fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.gateway.spawn();
        }
        for node in &mut self.nodes {
            node.gateway.ready().await;
            node.until_synced().await;
        }
    }

    /// A customer at every node, in the nodes' order.
    pub fn customer(&self, name: &str) -> Vec<Customer> {
        self.claiming(name, None)
    }

    /// The same, whose token names their customer at Stripe.
    pub fn claiming(&self, name: &str, stripe_customer: Option<&str>) -> Vec<Customer> {
        self.nodes.iter().map(|node| node.customer(name, stripe_customer)).collect()
    }

    /// A customer on a paid tier, once all nodes know it. Their token claims the Stripe customer.
    pub async fn subscriber(&self, name: &str, tier: &str) -> (Vec<Customer>, Subscribed) {
        let subscribed = self.stripe.subscribe(tier, Some(name));
        let at = self.claiming(name, Some(&subscribed.customer));
        for customer in &at {
            customer.until_status("tier", tier).await;
        }
        (at, subscribed)
    }

    /// Units that a customer was told they were charged, and units of answers that broke off; at all nodes.
    pub fn seen_of(&self, customer: &str) -> (u64, u64) {
        self.seen.of(customer)
    }

    /// Units of a customer in the ledgers of all nodes, as far as they are in their stores.
    pub fn kept(&self, customer: &str) -> i64 {
        let account = (customer.to_owned(), "api_calls".to_owned());
        let at = |node: &Node| books::kept(&node.gateway.data_dir).get(&account).map_or(0, |kept| kept.units);
        self.nodes.iter().map(at).sum()
    }

    /// Has everything sealed and sent by the nodes that run.
    pub async fn drain(&self) {
        for node in self.nodes.iter().filter(|node| node.gateway.is_running()) {
            node.drain().await;
        }
    }

    /// Compares all books.
    pub async fn balance(&self) {
        self.drain().await;
        let folders: Vec<&Path> = self.nodes.iter().map(|node| &*node.gateway.data_dir).collect();
        books::assert_balanced(&self.seen, &folders, &self.stripe.metered().await);
    }

    /// The end of every test: the books balance, and all nodes stop in order.
    pub async fn finish(mut self) {
        for node in &mut self.nodes {
            if !node.gateway.is_running() {
                node.gateway.restart().await;
            }
        }
        self.balance().await;
        for node in &mut self.nodes {
            node.gateway.stop().await;
        }
        self.finished = true;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a world must end with finish()");
    }
}

impl Node {
    pub fn customer(&self, name: &str, stripe_customer: Option<&str>) -> Customer {
        let base = format!("http://{}", self.gateway.public);
        // Clients of their own: their connections are.
        Customer::new(name, stripe_customer, &base, client(), self.seen.clone())
    }

    /// Asks the operator's port.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let request = self.http.request(method, format!("http://{}{path}", self.gateway.admin));
        let request = request.bearer_auth(ADMIN_TOKEN);
        send(body.into_iter().fold(request, RequestBuilder::json)).await
    }

    /// What the operator's port shows.
    pub async fn shown(&self, path: &str) -> Value {
        let reply = self.ask(Method::GET, path, None).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// POSTs JSON to the operator's port.
    pub async fn operate(&self, path: &str, body: &Value) -> Reply {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// The value of a metric's line, as `name{label="value"}`; 0 where there is no such line.
    pub async fn metric(&self, line: &str) -> u64 {
        let metrics = self.ask(Method::GET, "/metrics", None).await.text();
        let value = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Waits until its link to Redis is up, or down.
    pub async fn until_linked(&self, linked: bool) {
        let what = format!("linked: {linked}");
        let is_so =
            async || (self.metric("tollgate_fleet_redis_up").await == u64::from(linked)).then_some(());
        until(&what, PATIENCE, is_so).await;
    }

    /// Flushes, with no pause between tries, until Stripe holds all that the store does.
    pub async fn drain(&self) {
        until("everything is sealed and sent", 2 * PATIENCE, async || {
            books::let_pauses_pass(&self.gateway.data_dir);
            let flushed = self.ask(Method::POST, "/admin/outbox/flush", None).await;
            assert_eq!(flushed.status, 200, "{}", flushed.text());
            books::nothing_waits(&self.gateway.data_dir).then_some(())
        })
        .await;
    }

    async fn until_synced(&self) {
        until("everything has been read from Stripe", PATIENCE, async || {
            (!self.shown("/admin/sync").await["ended_at"].is_null()).then_some(())
        })
        .await;
    }
}
