//! A sandbox and a client for it.

use serde_json::Value;

use crate::sandbox::delivery::{client, unix_now};
use crate::sandbox::{Catalogue, Options, Sandbox, SeedTier};

pub struct Harness {
    pub sandbox: Sandbox,
    pub http: reqwest::Client,
}

pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The id of the object in the answer.
    pub fn id(&self) -> String {
        self.json["id"].as_str().expect("the answer has an id").to_owned()
    }
}

impl Harness {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.expect("a free port");
        let http = client().expect("a client");
        Self { sandbox, http }
    }

    pub fn request(&self, method: &str, path: &str, form: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.sandbox.base_url());
        let request = self.http.request(method, url).bearer_auth("sk_test_x");
        request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned())
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let json = response.json().await.unwrap_or(Value::Null);
        Reply { status, headers, json }
    }

    pub async fn post(&self, path: &str, form: &str) -> Reply {
        self.send(self.request("POST", path, form)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path, "")).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request("DELETE", path, "")).await
    }

    /// Makes a meter called `api_calls` and the tier `pro`: 99 USD a month, 990 a year, 10,000 units
    /// included, then 2 cents each.
    pub fn seed_pro(&self) {
        let pro = SeedTier {
            name: "pro".into(),
            monthly_cents: Some(9_900),
            yearly_cents: Some(99_000),
            included: 10_000,
            overage_cents: Some("2".into()),
        };
        let catalogue = Catalogue {
            currency: "usd".into(),
            event_name: "api_calls".into(),
            meter: "api_calls".into(),
            tiers: vec![pro],
            id_prefix: Some("demo".into()),
        };
        self.sandbox.seed(&catalogue).expect("a sound catalogue");
    }

    pub async fn use_units(&self, customer: &str, units: u64, identifier: &str) -> Reply {
        let form = meter_event(customer, units, identifier);
        self.post("/v1/billing/meter_events", &form).await
    }

    /// The object of the newest event of a type.
    pub async fn last_event(&self, kind: &str) -> Value {
        let mut events = self.get(&format!("/v1/events?limit=1&types[]={kind}")).await.json;
        events["data"][0]["data"]["object"].take()
    }

    /// The types of all events so far, oldest first.
    pub async fn event_types(&self) -> Vec<String> {
        let events = self.get("/v1/events?limit=100").await.json;
        let data = events["data"].as_array().expect("a list").iter().rev();
        data.map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    }
}

pub fn meter_event(customer: &str, units: u64, identifier: &str) -> String {
    format!(
        "event_name=api_calls&payload[stripe_customer_id]={customer}&payload[value]={units}\
         &identifier={identifier}&timestamp={}",
        unix_now()
    )
}
