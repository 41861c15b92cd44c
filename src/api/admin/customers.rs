//! `GET /admin/customers`: who is known, by name, tier and status.

use std::collections::BTreeMap;

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
use crate::api::fleet::{Question, Told, with_missing};
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
    let limit = page.limit()?;
    let catalogue = state.catalogue.now();
    let default = catalogue.default_tier.map(|id| catalogue.tier(id).name.clone());
    let is_default = |name: &str| default.as_deref() == Some(name);
    let filter = CustomerFilter {
        named: which.q.filter(|q| !q.is_empty()),
        tier: which.tier.map(|name| TierFilter { is_default: is_default(&name), name }),
        status: which.status.map(known_status).transpose()?,
    };
    let show = |row: &CustomerListing| shown(row, default.as_deref());
    if state.others.node().is_none() {
        let rows = state.store.list_customers(filter, page.after()?.unwrap_or(0), limit + 1).await?;
        return Ok(page_of(rows, limit, |row| row.number.to_string(), show));
    }
    let (rows, missing) = of_all(&state, filter, page.cursor.unwrap_or_default(), limit + 1).await?;
    let Json(list) = page_of(rows, limit, |row| row.name.clone(), show);
    Ok(Json(with_missing(list, Some(&missing))))
}

/// Those that any node knows behind a name: numbers are each node's own.
async fn of_all(
    state: &AdminState,
    filter: CustomerFilter,
    after: String,
    limit: u32,
) -> Result<(Vec<CustomerListing>, Vec<String>), Failed> {
    let question = Question::Customers { filter: filter.clone(), after: after.clone(), limit };
    let (own, told) = tokio::join!(
        state.store.list_customers_by_name(filter, after, limit),
        state.others.ask::<Vec<CustomerListing>>(question),
    );
    let missing = told.as_ref().map(|told| told.missing.clone()).unwrap_or_default();
    Ok((merge(own?, told.into_iter().flat_map(Told::into_answers), limit), missing))
}

/// Of one name what was noted last, first seen when anybody saw them first.
fn merge(
    own: Vec<CustomerListing>,
    others: impl Iterator<Item = Vec<CustomerListing>>,
    limit: u32,
) -> Vec<CustomerListing> {
    let mut by_name: BTreeMap<String, CustomerListing> = BTreeMap::new();
    for mut row in others.chain([own]).flatten() {
        if let Some(known) = by_name.get_mut(&row.name) {
            let first_seen = known.first_seen.min(row.first_seen);
            if row.state_since >= known.state_since {
                std::mem::swap(known, &mut row);
            }
            known.first_seen = first_seen;
        } else {
            by_name.insert(row.name.clone(), row);
        }
    }
    by_name.into_values().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
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
