//! The local Stripe, in the test's own process: it outlives a killed gateway.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tollgate::sandbox::{Options, Sandbox, Subscribed, WebhookEndpoint};

use super::Dice;
use super::config::{WEBHOOK_SECRET, sold};

/// Units by Stripe customer and event name.
pub type Metered = BTreeMap<(String, String), u64>;

/// What struck so far of faults that were planned with a chance.
#[derive(Clone, Debug, Default)]
pub struct Struck(pub Vec<u64>);

impl Struck {
    fn read(faults: &Value) -> Self {
        let faults = faults.as_array().expect("a list").iter();
        Self(faults.filter_map(|fault| fault["struck"].as_u64()).collect())
    }

    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

pub struct Stripe {
    sandbox: Sandbox,
    http: reqwest::Client,
}

impl Stripe {
    /// Starts with the catalogue of the tests. With `webhooks` every event goes to the gateway.
    pub async fn start(gateway: SocketAddr, webhooks: bool, mut options: Options) -> Self {
        if webhooks {
            options.webhooks = vec![WebhookEndpoint {
                url: format!("http://{gateway}/webhooks/stripe"),
                secret: WEBHOOK_SECRET.to_owned(),
            }];
        }
        let sandbox = Sandbox::start(options).await.expect("a free port");
        sandbox.seed(&sold()).expect("a sound catalogue");
        Self { sandbox, http: reqwest::Client::new() }
    }

    /// With no gateway to tell its news.
    pub async fn alone() -> Self {
        // A second installation is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), false, Options::default()).await
    }

    pub fn url(&self) -> String {
        self.sandbox.base_url()
    }

    /// A new customer with a monthly subscription; Stripe knows them by `reference`, if there is one.
    pub fn subscribe(&self, tier: &str, reference: Option<&str>) -> Subscribed {
        self.sandbox.create_subscribed_customer(tier, reference).expect("a seeded tier")
    }

    /// Moves a subscription to another tier, its metered item with it.
    pub async fn change_tier(&self, subscription: &str, tier: &str) {
        let path = format!("/v1/subscriptions/{subscription}");
        let known = self.get(&path).await;
        let item = |at: usize| known["items"]["data"][at]["id"].as_str().expect("an item").to_owned();
        let (flat, metered) = (format!("price_it_{tier}_monthly"), format!("price_it_{tier}_api_calls"));
        let (first, second) = (item(0), item(1));
        let form = [
            ("items[0][id]", &*first),
            ("items[0][price]", &*flat),
            ("items[1][id]", &*second),
            ("items[1][price]", &*metered),
        ];
        self.post(&path, &form).await;
    }

    /// A call of Stripe's API, which succeeds.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let url = format!("{}{path}", self.url());
        let request = self.http.post(url).bearer_auth("sk_test_x");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(encode(form)).send().await;
        succeeded(answer.expect("the sandbox answers")).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.url());
        let answer = self.http.delete(url).bearer_auth("sk_test_x").send().await;
        succeeded(answer.expect("the sandbox answers")).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.url());
        let answer = self.http.get(url).bearer_auth("sk_test_x").send().await;
        succeeded(answer.expect("the sandbox answers")).await
    }

    /// One of the sandbox's hooks.
    pub async fn hook(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.url());
        succeeded(self.http.post(url).json(&body).send().await.expect("the sandbox answers")).await
    }

    /// Plans a fault of the next meter events.
    pub async fn break_meter_events(&self, mut fault: Value) {
        fault["operation"] = json!("meter_events.create");
        self.hook("faults", fault).await;
    }

    /// From now on each meter event meets each of these with a chance of so many percent.
    pub async fn break_at_random(&self, faults: &[Value], percent: u64, seed: u64) {
        for (at, fault) in (0..).zip(faults) {
            let mut fault = fault.clone();
            fault["percent"] = json!(percent);
            // Below what JSON's numbers hold exactly.
            fault["seed"] = json!(Dice::seeded(seed.wrapping_add(at)).roll() >> 12);
            self.break_meter_events(fault).await;
        }
    }

    /// How often each of the faults with a chance has struck.
    pub async fn struck(&self) -> Struck {
        Struck::read(&self.get("/_sandbox/faults").await)
    }

    /// Events that Stripe accepted, and events that it rejected because it knew their identifier.
    pub async fn events_and_duplicates(&self) -> (u64, u64) {
        let rows = self.get("/_sandbox/meter_totals").await;
        let rows = rows.as_array().expect("a list");
        let sum = |name| rows.iter().map(|row| row[name].as_u64().expect("a number")).sum();
        (sum("events"), sum("duplicates"))
    }

    /// Forgets every fault that has not struck yet; answers how often those with a chance have.
    pub async fn forget_faults(&self) -> Struck {
        Struck::read(&self.delete("/_sandbox/faults").await)
    }

    pub async fn set_status(&self, subscription: &str, status: &str) {
        self.hook(&format!("subscriptions/{subscription}/status"), json!({ "status": status })).await;
    }

    /// A customer wants a tier and is sent to the checkout page, which is told their name here. Answers the session.
    pub async fn order(&self, customer: &str, prices: &[&str]) -> Value {
        let mut form = vec![
            ("mode".to_owned(), "subscription".to_owned()),
            ("client_reference_id".to_owned(), customer.to_owned()),
            ("success_url".to_owned(), "http://127.0.0.1/thanks?session={CHECKOUT_SESSION_ID}".to_owned()),
            ("cancel_url".to_owned(), "http://127.0.0.1/shop?a=1&b=2".to_owned()),
        ];
        for (at, price) in prices.iter().enumerate() {
            form.push((format!("line_items[{at}][price]"), (*price).to_owned()));
        }
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post("/v1/checkout/sessions", &form).await
    }

    /// The same, paid at once.
    pub async fn buy(&self, customer: &str, prices: &[&str]) -> Value {
        let session = self.order(customer, prices).await;
        let id = session["id"].as_str().expect("a session").to_owned();
        self.hook(&format!("checkout/{id}/pay"), json!({})).await;
        self.get(&format!("/v1/checkout/sessions/{id}")).await
    }

    /// Everything that Stripe's meters have counted.
    pub async fn metered(&self) -> Metered {
        let rows = self.get("/_sandbox/meter_totals").await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let rows = rows.as_array().expect("a list").iter();
        rows.map(|row| {
            ((text(&row["customer"]), text(&row["event_name"])), row["units"].as_u64().expect("units"))
        })
        .filter(|(_, units)| *units > 0)
        .collect()
    }

    /// What the meter has counted for one customer.
    pub async fn units_of(&self, stripe_customer: &str) -> u64 {
        let metered = self.metered().await;
        metered.get(&(stripe_customer.to_owned(), "api_calls".to_owned())).copied().unwrap_or(0)
    }

    /// Every event so far, oldest first.
    pub async fn events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut older = String::new();
        loop {
            let mut page = self.get(&format!("/v1/events?limit=100{older}")).await;
            events.append(page["data"].as_array_mut().expect("a list"));
            if page["has_more"] == false {
                events.reverse();
                return events;
            }
            let last = events.last().and_then(|event| event["id"].as_str()).expect("no page is empty");
            older = format!("&starting_after={last}");
        }
    }
}

fn encode(form: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<_> =
        form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

async fn succeeded(answer: reqwest::Response) -> Value {
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    assert!(status.is_success(), "the sandbox answered {status}: {body}");
    body
}

/// `Stripe-Signature` over a body, made at `at`.
pub fn signature(secret: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    let mut signature = format!("t={at},v1=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(signature, "{byte:02x}");
    }
    signature
}

pub fn unix_now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since_epoch.as_secs()).expect("a clock before the year 292 billion")
}
