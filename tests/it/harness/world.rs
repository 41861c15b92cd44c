//! The world: gateway, upstream, Stripe and the books.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use reqwest::RequestBuilder;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tollgate::sandbox::{EventShape, Options, Subscribed};
use toml::Table;

use super::books::{self, Account, Kept, Seen};
use super::config::{self, Addresses};
use super::customer::{Customer, Reply};
use super::gateway::Gateway;
use super::http2::Http2;
use super::road::Road;
use super::room::{Room, Sizes};
use super::stripe::{Stripe, signature, unix_now};
use super::upstream::Upstream;
use super::wire::{Wire, Wires};
use super::{ADMIN_TOKEN, PATIENCE, WEBHOOK_SECRET, until};

/// Everything that a test needs, ready to be broken.
pub struct World {
    pub gateway: Gateway,
    pub upstream: Upstream,
    pub stripe: Stripe,
    road: Option<Road>,
    seen: Arc<Seen>,
    http: reqwest::Client,
    finished: bool,
    /// Removed last.
    _folder: TempDir,
}

/// What a world should be like.
pub struct Builder {
    /// Where the public port will be.
    pub public: SocketAddr,
    config: Table,
    webhooks: bool,
    stripe: Options,
    by_road: bool,
    in_room: Option<Sizes>,
}

impl Builder {
    /// The gateway reaches Stripe by a road that can be closed.
    pub fn by_road(mut self) -> Self {
        self.by_road = true;
        self
    }

    /// The gateway's data lies on file systems of its own.
    pub fn in_room(mut self, sizes: Sizes) -> Self {
        self.in_room = Some(sizes);
        self
    }

    /// Merges TOML over the usual configuration.
    pub fn config(mut self, text: &str) -> Self {
        config::merge(&mut self.config, config::parse(text));
        self
    }

    /// Stripe keeps its news to itself; the test delivers it.
    pub fn without_webhooks(mut self) -> Self {
        self.webhooks = false;
        self
    }

    /// Events in the shape of an older version of Stripe's API.
    pub fn event_shape(mut self, shape: EventShape) -> Self {
        self.stripe.event_shape = shape;
        self
    }

    /// Starts everything; returns once the gateway is ready.
    pub async fn start(self) -> World {
        // A second installation is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let upstream = Upstream::start().await;
        let (public, admin) = (self.public, config::free_address());
        let stripe = Stripe::start(public, self.webhooks, self.stripe).await;
        let mut gateway = Gateway::new(public, admin, folder.path());
        let road = if self.by_road { Some(Road::open(&stripe.url()).await) } else { None };
        let stripe_url = road.as_ref().map_or_else(|| stripe.url(), Road::url);
        let addresses = Addresses { public, admin, upstream: upstream.address, stripe: stripe_url };
        let mut written = config::base(&addresses, &gateway.data_dir);
        config::merge(&mut written, self.config);
        std::fs::write(&gateway.config, written.to_string()).expect("a writable folder");
        if let Some(sizes) = self.in_room {
            let room = Room::mount(&gateway.data_dir, sizes).expect("a machine that allows mounts");
            gateway.data_dir = room.outside(&gateway.data_dir);
            gateway.room = Some(room);
        }
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let seen = Arc::new(Seen::default());
        let mut world =
            World { gateway, upstream, stripe, road, seen, http, finished: false, _folder: folder };
        world.gateway.start().await;
        world.until_synced().await;
        world
    }
}

impl World {
    pub fn builder() -> Builder {
        Builder {
            public: config::free_address(),
            config: Table::new(),
            webhooks: true,
            stripe: Options::default(),
            by_road: false,
            in_room: None,
        }
    }

    /// The usual one.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A customer whom Stripe does not know: the default tier.
    pub fn customer(&self, name: &str) -> Customer {
        self.claiming(name, None)
    }

    /// A customer whose token names their customer at Stripe.
    pub fn claiming(&self, name: &str, stripe_customer: Option<&str>) -> Customer {
        let base = format!("http://{}", self.gateway.public);
        Customer::new(name, stripe_customer, &base, self.http.clone(), self.seen.clone())
    }

    /// A customer on a paid tier, once the gateway knows it. Their token claims the Stripe customer.
    pub async fn subscriber(&self, name: &str, tier: &str) -> (Customer, Subscribed) {
        let subscribed = self.stripe.subscribe(tier, Some(name));
        let customer = self.claiming(name, Some(&subscribed.customer));
        customer.until_status("tier", tier).await;
        (customer, subscribed)
    }

    /// A connection to the public port.
    pub async fn wire(&self) -> Wire {
        Wire::connect(self.gateway.public, self.seen.clone()).await
    }

    /// Makes connections to the public port while the world is busy with something else.
    pub fn wires(&self) -> Wires {
        Wires::new(self.gateway.public, self.seen.clone())
    }

    /// HTTP/1 by hand over any connection to the gateway.
    pub fn wire_over<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Wire<S> {
        Wire::over(stream, self.seen.clone())
    }

    /// HTTP/2 over any connection to the gateway.
    pub async fn http2_over<S>(&self, stream: S) -> Http2
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Http2::over(stream, self.seen.clone()).await
    }

    /// Asks the public port for nobody.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Reply {
        let url = format!("http://{}{path}", self.gateway.public);
        send(with(self.http.request(method, url))).await
    }

    /// Asks the operator's port; `token` is left out with none.
    pub async fn admin(&self, method: Method, path: &str, token: Option<&str>) -> Reply {
        let request = self.http.request(method, format!("http://{}{path}", self.gateway.admin));
        send(token.into_iter().fold(request, RequestBuilder::bearer_auth)).await
    }

    /// POSTs JSON to the operator's port, with the token.
    pub async fn operate(&self, path: &str, body: &Value) -> Reply {
        let request = self.http.post(format!("http://{}{path}", self.gateway.admin));
        send(request.bearer_auth(ADMIN_TOKEN).json(body)).await
    }

    /// PUTs JSON to the operator's port, with the token.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        let request = self.http.put(format!("http://{}{path}", self.gateway.admin));
        send(request.bearer_auth(ADMIN_TOKEN).json(body)).await
    }

    /// What the operator's port shows, with the token.
    pub async fn shown(&self, path: &str) -> Value {
        let reply = self.admin(Method::GET, path, Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// The books are told of an answer that somebody else read.
    pub fn told(&self, customer: &str, units: u64) {
        self.seen.charged(customer, &format!("api_calls={units}"));
    }

    /// The books know a customer who has been erased by the name that is left.
    pub fn erased(&self, name: &str, left: &str) {
        self.seen.renamed(name, left);
    }

    /// The store, to look into or to change behind the gateway's back.
    pub fn store(&self) -> Connection {
        let store = Connection::open(self.gateway.data_dir.join("tollgate.db")).expect("a store");
        store.busy_timeout(PATIENCE).expect("a store");
        store
    }

    /// The value of a metric's line, as `name{label="value"}`; none where there is no such line.
    pub async fn metric(&self, line: &str) -> Option<u64> {
        let metrics = self.admin(Method::GET, "/metrics", None).await.text();
        let value = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a whole number"))
    }

    /// Delivers an event to the webhook, signed as Stripe signs it.
    pub async fn deliver(&self, event: &Value) -> Reply {
        let body = event.to_string();
        let signature = signature(WEBHOOK_SECRET, unix_now(), body.as_bytes());
        self.deliver_signed(body, &signature).await
    }

    pub async fn deliver_signed(&self, body: impl Into<reqwest::Body>, signature: &str) -> Reply {
        self.ask(Method::POST, "/webhooks/stripe", |request| {
            request.header("stripe-signature", signature).body(body)
        })
        .await
    }

    /// Waits until the gateway's start has read everything from Stripe: what happens from then on it must be told.
    pub async fn until_synced(&self) {
        until("everything has been read from Stripe", PATIENCE, async || {
            let asked = self.admin(Method::GET, "/admin/sync", Some(ADMIN_TOKEN)).await;
            // Where there is no token there is nobody who could tell.
            (asked.status != 200 || !asked.json()["ended_at"].is_null()).then_some(())
        })
        .await;
    }

    /// Merges TOML over the gateway's configuration file, which is another file from then on.
    pub fn configure(&self, over: &str) {
        self.configure_from(self.configuration(), over);
    }

    /// The same over another one.
    pub fn configure_from(&self, mut base: Table, over: &str) {
        config::merge(&mut base, config::parse(over));
        self.write_configuration(&base.to_string());
    }

    /// The gateway's configuration file.
    pub fn configuration(&self) -> Table {
        config::parse(&std::fs::read_to_string(&self.gateway.config).expect("a configuration"))
    }

    /// Replaces the gateway's configuration file.
    pub fn write_configuration(&self, text: &str) {
        let beside = self.gateway.config.with_extension("new");
        std::fs::write(&beside, text).expect("a writable folder");
        std::fs::rename(&beside, &self.gateway.config).expect("a writable folder");
    }

    /// Has the gateway read its configuration again.
    pub async fn reload(&self) -> Reply {
        self.admin(Method::POST, "/admin/reload", Some(ADMIN_TOKEN)).await
    }

    /// The same, which must put it in force.
    pub async fn reloaded(&self) {
        let reply = self.reload().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Puts TOML in force over what is configured.
    pub async fn reconfigure(&self, over: &str) {
        self.configure(over);
        self.reloaded().await;
    }

    /// Seals and sends what has been used so far; answers how many rows still wait.
    pub async fn flush(&self) -> u64 {
        let reply = self.admin(Method::POST, "/admin/outbox/flush", Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["pending"].as_u64().expect("a number of rows")
    }

    /// Flushes until Stripe has accepted everything.
    pub async fn flush_all(&self) {
        until("the outbox is empty", 2 * PATIENCE, async || (self.flush().await == 0).then_some(())).await;
    }

    /// The road to Stripe.
    pub fn road(&mut self) -> &mut Road {
        self.road.as_mut().expect("a world by_road()")
    }

    /// What waits in the outbox is due now.
    pub fn let_pauses_pass(&self) {
        books::let_pauses_pass(&self.gateway.data_dir);
    }

    /// Flushes, with no pause between tries, until Stripe holds all that the store does. For a Stripe without faults.
    pub async fn drain(&self) {
        until("everything is sealed and sent", 2 * PATIENCE, async || {
            self.let_pauses_pass();
            // It may leave what came while a row of the same total was under way.
            self.flush().await;
            books::nothing_waits(&self.gateway.data_dir).then_some(())
        })
        .await;
    }

    /// Units that one customer was told they were charged, and units of answers that broke off.
    pub fn seen_of(&self, customer: &str) -> (u64, u64) {
        self.seen.of(customer)
    }

    /// Units in the ledger, by the request's id.
    pub fn metered(&self) -> BTreeMap<String, i64> {
        books::metered(&self.gateway.data_dir)
    }

    /// Answers that a customer may not have got: so many units may have been charged without their knowing.
    pub fn in_doubt(&self, customer: &str, units: u64) {
        self.seen.in_doubt(customer, units);
    }

    /// An account as the store has it.
    pub fn kept(&self, customer: &str) -> Kept {
        let account: Account = (customer.to_owned(), "api_calls".to_owned());
        books::kept(&self.gateway.data_dir).remove(&account).unwrap_or_default()
    }

    /// Units that clients were told they were charged, and units of answers that broke off.
    pub fn seen(&self) -> (u64, u64) {
        self.seen.sums()
    }

    /// Compares all books. What has been used must have been flushed.
    pub async fn balance(&self) {
        self.flush_all().await;
        books::assert_balanced(&self.seen, &[&self.gateway.data_dir], &self.stripe.metered().await);
    }

    /// The end of every test: the books balance, and the gateway stops in order.
    pub async fn finish(mut self) {
        if !self.gateway.is_running() {
            self.gateway.restart().await;
        }
        self.balance().await;
        self.gateway.stop().await;
        self.finished = true;
    }

    /// The end of a test whose last machine was lost with a part of the books. The gateway has stopped.
    pub fn abandon(mut self) {
        assert!(!self.gateway.is_running(), "it stops in order");
        self.finished = true;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a world must end with finish()");
    }
}

/// Sends a request that must have its whole answer.
pub async fn send(request: RequestBuilder) -> Reply {
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await.expect("a whole answer");
    Reply { status, headers, body }
}
