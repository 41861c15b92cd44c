//! Answers of the admin API, as far as pages show them. What a later version adds is passed over.

#![expect(clippy::struct_field_names, reason = "fields are called as in the answers")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A page of a list.
#[derive(Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    pub next_cursor: Option<String>,
    /// In a fleet: whose rows are not here.
    pub nodes_missing: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub struct Listed {
    pub customer: String,
    pub tier: Option<String>,
    pub status: String,
    pub stripe_customer: Option<String>,
    pub first_seen: String,
    pub blocked: bool,
    pub overridden: bool,
    pub erased_at: Option<String>,
}

#[derive(Deserialize)]
pub struct Customer {
    pub customer: String,
    pub tier: Option<String>,
    pub billed_tier: Option<String>,
    pub status: String,
    pub permissions: Permissions,
    pub usage: BTreeMap<String, Usage>,
    pub drawn: BTreeMap<String, Drawn>,
    pub credits: u64,
    pub features: Vec<String>,
    pub limits: BTreeMap<String, Value>,
    pub period: Period,
    pub expires_at: Option<String>,
    pub cancel_at_period_end: bool,
    pub stripe_customer: Option<String>,
    pub linked_by: Option<String>,
    pub first_seen: String,
    pub state_since: Option<String>,
    pub erased_at: Option<String>,
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    pub blocked: Option<Blocked>,
    pub subscriptions: Vec<Subscription>,
    pub members: Option<Vec<Member>>,
}

#[derive(Deserialize)]
pub struct Permissions {
    pub can_use: bool,
}

#[derive(Deserialize)]
pub struct Usage {
    pub current: i64,
    /// A number, or `"unlimited"`.
    pub included: Value,
    pub remaining: Value,
    pub overage: i64,
    pub overage_amount: String,
}

#[derive(Deserialize)]
pub struct Drawn {
    pub included: i64,
    pub overage: i64,
    pub beside: i64,
}

#[derive(Clone, Deserialize)]
pub struct Period {
    pub start: String,
    pub end: String,
}

#[derive(Deserialize)]
pub struct Override {
    pub tier: Option<String>,
    pub included: BTreeMap<String, Value>,
    pub until: Option<String>,
    pub reason: String,
}

#[derive(Deserialize)]
pub struct Blocked {
    pub reason: String,
}

#[derive(Deserialize)]
pub struct Subscription {
    pub id: String,
    pub status: String,
    pub tier: Option<String>,
    pub period_end: Option<String>,
    pub cancel_at_period_end: bool,
}

#[derive(Deserialize)]
pub struct Member {
    pub member: Option<String>,
    pub usage: BTreeMap<String, i64>,
}

/// Of a route or of a day.
#[derive(Deserialize)]
pub struct UsageRow {
    #[serde(alias = "route", alias = "day")]
    pub of: String,
    pub meter: String,
    pub units: i64,
    pub requests: i64,
}

#[derive(Deserialize)]
pub struct Credit {
    pub at: String,
    pub kind: String,
    pub units: i64,
    pub balance: u64,
    pub reason: Option<String>,
    pub expires_at: Option<String>,
}

#[derive(Deserialize)]
pub struct Charge {
    pub request_id: String,
    pub at: String,
    pub kind: String,
    pub route: Option<String>,
    pub method: Option<String>,
    pub status: u16,
    pub cost: BTreeMap<String, i64>,
    pub drawn: BTreeMap<String, BTreeMap<String, i64>>,
    pub corrected: Option<Corrected>,
}

#[derive(Deserialize)]
pub struct Corrected {
    pub at: String,
    pub cost: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
pub struct Receipt {
    pub request_id: String,
    pub foreign_request_id: Option<String>,
    pub at: String,
    pub kind: String,
    pub repeat_of: Option<String>,
    pub customer: String,
    pub member: Option<String>,
    pub route: Option<String>,
    pub method: Option<String>,
    pub status: u16,
    pub tier: Option<String>,
    pub cost: BTreeMap<String, i64>,
    pub drawn: BTreeMap<String, BTreeMap<String, i64>>,
    pub period: Period,
    pub totals: BTreeMap<String, Totals>,
    pub corrected: Option<Corrected>,
    pub idempotency_key: bool,
    /// By meter: an event, or `none` with the reason.
    pub meter_events: BTreeMap<String, MeterEvent>,
    pub node: Option<String>,
    pub record: RecordAt,
}

#[derive(Deserialize)]
pub struct Totals {
    pub before: i64,
    pub after: i64,
    pub complete: bool,
}

#[derive(Deserialize)]
pub struct MeterEvent {
    pub none: Option<String>,
    pub identifier: Option<String>,
    pub value: Option<i64>,
    pub timestamp: Option<i64>,
    pub state: Option<String>,
    pub answer: Option<String>,
    pub settled_at: Option<String>,
}

#[derive(Deserialize)]
pub struct RecordAt {
    pub number: u64,
    pub segment: String,
}

#[derive(Deserialize)]
pub struct AuditRow {
    pub at: String,
    pub action: String,
    pub customer: Option<String>,
    pub actor: String,
    pub detail: String,
    pub before: Value,
    pub after: Value,
}

#[derive(Deserialize)]
pub struct Webhook {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub created: String,
    pub received_at: String,
    pub settled_at: Option<String>,
    pub replayed_at: Option<String>,
    pub tries: u32,
    pub next_try_at: Option<String>,
    pub reason: Option<String>,
    pub effects: Option<Vec<String>>,
    #[serde(default)]
    pub payload: Value,
}

#[derive(Deserialize)]
pub struct Waiting {
    pub identifier: String,
    pub customer: Option<String>,
    pub meter: String,
    pub value: i64,
    pub timestamp: i64,
    pub state: String,
    pub tries: u32,
    pub sealed_at: String,
    pub next_try_at: Option<String>,
    pub reason: Option<String>,
    pub node: Option<String>,
}

#[derive(Deserialize)]
pub struct Flushed {
    pub sealed: u64,
    pub sent: u64,
    pub pending: u64,
    pub dead: u64,
}

#[derive(Deserialize)]
pub struct Health {
    pub status: String,
    pub ledger_available: bool,
    pub stripe_reachable: bool,
    pub stripe_api_version: String,
    pub outbox_pending: i64,
    pub outbox_oldest_seconds: i64,
    pub outbox_dead: i64,
    pub webhooks_pending: i64,
    pub webhooks_failed: i64,
}

#[derive(Clone, Deserialize)]
pub struct Stats {
    pub currency: String,
    pub mrr: String,
    pub overage_revenue: String,
    pub customers: Vec<Count>,
    pub top_customers: Vec<Top>,
    /// Only in a fleet.
    pub nodes_missing: Option<Vec<String>>,
}

#[derive(Clone, Deserialize)]
pub struct Count {
    pub tier: Option<String>,
    pub status: String,
    pub customers: i64,
}

#[derive(Clone, Deserialize)]
pub struct Top {
    pub customer: String,
    pub units: i64,
    pub requests: i64,
}

#[derive(Deserialize)]
pub struct Catalogue {
    pub currency: String,
    pub report: String,
    pub meters: Vec<Meter>,
    pub tiers: Vec<Tier>,
    pub routes: Vec<Route>,
    pub credit_packs: Vec<CreditPack>,
}

#[derive(Deserialize)]
pub struct Meter {
    pub name: String,
    pub stripe_event_name: String,
}

#[derive(Deserialize)]
pub struct Tier {
    pub name: String,
    pub default: bool,
    pub anonymous: bool,
    pub price: BTreeMap<String, Option<String>>,
    pub included: BTreeMap<String, Value>,
    /// `"deny"`, or prices by meter and a cap.
    pub overage: Overage,
    pub rate: Option<Rate>,
    pub features: Vec<String>,
    pub limits: BTreeMap<String, Value>,
    pub trial: Option<String>,
    pub credits_per_cycle: u64,
    pub stripe_prices: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Overage {
    Priced { unit_amount: BTreeMap<String, String>, cap: Option<String> },
    Denied(String),
}

#[derive(Deserialize)]
pub struct Rate {
    pub burst: u64,
    pub window_seconds: u64,
}

#[derive(Deserialize)]
pub struct Route {
    pub path: String,
    /// `"all"`, or a list.
    pub methods: Value,
    pub cost: BTreeMap<String, Value>,
    pub public: bool,
    pub anonymous: bool,
    pub requires: Vec<String>,
    pub rate: Option<Rate>,
}

#[derive(Deserialize)]
pub struct CreditPack {
    pub name: String,
    pub units: u64,
    pub price: String,
}
