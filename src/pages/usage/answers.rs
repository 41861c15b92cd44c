//! What the endpoints answer, as far as the page shows it.

#![expect(clippy::struct_field_names, reason = "fields are called as in the answers")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Number;

/// `/billing/status`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub customer: String,
    pub has_subscription: bool,
    /// The one in force.
    pub tier: Option<String>,
    /// The same without what an operator has set.
    pub billed_tier: Option<String>,
    pub status: String,
    pub permissions: Permissions,
    pub usage: BTreeMap<String, MeterUsage>,
    pub overage: Overage,
    pub credits: u64,
    pub period: Period,
    pub expires_at: Option<String>,
    pub cancel_at_period_end: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Permissions {
    pub can_use: bool,
    pub can_purchase: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct MeterUsage {
    /// Units in all.
    pub current: u64,
    pub included: Bound,
    pub remaining: Bound,
    pub usage_percentage: Number,
    pub overage: u64,
    pub overage_amount: String,
    pub projected: u64,
    pub projected_overage: u64,
    pub projected_overage_amount: String,
}

/// Units, or `"unlimited"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Bound {
    Units(u64),
    Unlimited(#[expect(dead_code, reason = "the word says nothing more")] String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Overage {
    pub currency: String,
    pub amount: String,
    pub projected_amount: String,
    pub cap: Option<String>,
}

/// Instants in RFC 3339.
#[derive(Debug, Deserialize)]
pub(super) struct Period {
    pub start: String,
    pub end: String,
}

/// A list, as far as it was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
    /// Of a fleet: who did not tell theirs.
    #[serde(default)]
    pub nodes_missing: Vec<String>,
}

/// `/billing/usage`.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    #[serde(alias = "route")]
    pub day: String,
    pub meter: String,
    pub units: i64,
    pub requests: i64,
}

/// `/billing/invoices`.
#[derive(Debug, Deserialize)]
pub(super) struct Invoice {
    pub id: String,
    pub number: Option<String>,
    pub status: Option<String>,
    pub currency: String,
    pub total: Option<String>,
    pub created: String,
    pub hosted_invoice_url: Option<String>,
    pub invoice_pdf: Option<String>,
}

/// `/pricing`.
#[derive(Debug, Deserialize)]
pub(super) struct Pricing {
    pub currency: String,
    pub tiers: Vec<Tier>,
    pub credit_packs: Vec<Pack>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tier {
    pub name: String,
    pub price: Price,
    pub included: BTreeMap<String, Bound>,
    pub overage: Beyond,
    pub features: Vec<String>,
    pub trial: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Price {
    pub monthly: Option<String>,
    pub yearly: Option<String>,
}

/// What a unit beyond the included ones costs, or `"deny"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Beyond {
    Priced { unit_amount: BTreeMap<String, String>, cap: Option<String> },
    Denied(#[expect(dead_code, reason = "the word says nothing more")] String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Pack {
    pub name: String,
    pub units: u64,
    pub price: String,
}

/// An order that is finished on a page elsewhere.
#[derive(Debug, Deserialize)]
pub(super) struct Elsewhere {
    pub url: String,
}
