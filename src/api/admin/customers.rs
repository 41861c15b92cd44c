//! `GET /admin/customers`: who is known, by name, tier and status.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::period::rfc3339;
use crate::domain::subscription::Status;
use crate::problem::{Code, Problem};
use crate::store::{CustomerFilter, CustomerListing, TierFilter};

use super::AdminState;
use crate::api::Failed;
use crate::api::json::{Asked, Page, list as page_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// How the name begins, or the Stripe customer.
    q: Option<String>,
    tier: Option<String>,
    status: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(which): Asked<Which>,
) -> Result<Json<Value>, Failed> {
    let page = Page { limit: which.limit, cursor: which.cursor };
    let (limit, after) = (page.limit()?, page.after()?);
    let default = state.catalogue.default_tier.map(|id| state.catalogue.tier(id).name.clone());
    let is_default = |name: &str| default.as_deref() == Some(name);
    let filter = CustomerFilter {
        named: which.q.filter(|q| !q.is_empty()),
        tier: which.tier.map(|name| TierFilter { is_default: is_default(&name), name }),
        status: which.status.map(known_status).transpose()?,
    };
    let rows = state.store.list_customers(filter, after.unwrap_or(0), limit + 1).await?;
    Ok(page_of(rows, limit, |row| row.number.to_string(), |row| shown(row, default.as_deref())))
}

/// Stripe's words and our own; a tier may be one that the file has no more.
fn known_status(word: String) -> Result<String, Failed> {
    if word == "no_subscription" || Status::parse(&word).is_some() {
        return Ok(word);
    }
    let words: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
    let detail = format!("status is no_subscription, {}", words.join(", "));
    Err(Failed(Problem::new(Code::BadRequest, detail)))
}

fn shown(row: &CustomerListing, default_tier: Option<&str>) -> Value {
    json!({
        "customer": row.name,
        "tier": row.tier.as_deref().or(default_tier),
        "status": row.status,
        "stripe_customer": row.stripe_customer,
        "first_seen": rfc3339(row.first_seen),
        "state_since": row.state_since.map(rfc3339),
        "blocked": row.is_blocked,
        "overridden": row.has_override,
        "erased_at": row.erased_at.map(rfc3339),
    })
}
