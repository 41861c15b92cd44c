//! API keys for operators: `GET|POST /admin/keys`, `GET|DELETE /admin/keys/{id}`, `POST /admin/keys/{id}/rotate`.
//!
//! A key is in the answer that makes it, and in no other. What changes is in force when it has been answered: a key
//! that is revoked is refused from then on, by other gateways of a fleet within a second.

mod desk;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::store::ApiKeyRow;

use super::AdminState;
use crate::api::json::{Asked, Body, Named, Page, list as page_of};
use crate::api::{Failed, only};

pub use desk::{KeyDesk, MadeKey, WantedKey, WantedRotation};

pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/keys", get(list).post(create).fallback(|| async { only("GET, HEAD, POST") }))
        .route("/keys/{id}", get(show).delete(revoke).fallback(|| async { only("GET, HEAD, DELETE") }))
        .route("/keys/{id}/rotate", post(rotate).fallback(|| async { only("POST") }))
}

/// What a list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    customer: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

async fn list(
    State(state): State<AdminState>,
    Asked(Which { customer, limit, cursor }): Asked<Which>,
) -> Result<Json<Value>, Failed> {
    let page = Page { limit, cursor };
    let (limit, after) = (page.limit()?, page.after()?.unwrap_or(0));
    let rows = state.store.api_keys(customer, after, limit + 1).await?;
    let now = clock::now().seconds();
    Ok(page_of(rows, limit, |row| row.number.to_string(), |row| key_json(row, now)))
}

async fn show(State(state): State<AdminState>, Named(id): Named<String>) -> Result<Json<Value>, Failed> {
    let row = state.store.api_key(id).await?.ok_or_else(desk::unknown)?;
    Ok(Json(key_json(&row, clock::now().seconds())))
}

async fn create(
    State(state): State<AdminState>,
    Body(wanted): Body<WantedKey>,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let claimed = wanted.stripe_customer.clone();
    let made = state.keys.now().create(wanted, now.seconds()).await?;
    state.customers.refresh_keys(&made.row.customer, now).await?;
    if claimed.is_some() {
        state.customers.load(&made.row.customer, claimed.as_deref(), now).await?;
    }
    Ok(Json(made.json(now.seconds())))
}

async fn rotate(
    State(state): State<AdminState>,
    Named(id): Named<String>,
    Body(wanted): Body<WantedRotation>,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let made = state.keys.now().rotate(&id, wanted, now.seconds()).await?;
    state.customers.refresh_keys(&made.row.customer, now).await?;
    Ok(Json(made.json(now.seconds())))
}

async fn revoke(State(state): State<AdminState>, Named(id): Named<String>) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let row = state.keys.now().revoke(&id, now.seconds()).await?;
    state.customers.refresh_keys(&row.customer, now).await?;
    Ok(Json(key_json(&row, now.seconds())))
}

/// A key as lists show it, here and on the command line.
pub fn key_json(row: &ApiKeyRow, now: i64) -> Value {
    let key = &row.key;
    let state = match key.revoked_at {
        Some(_) => "revoked",
        None if !row.is_in_force(now) => "expired",
        None => "active",
    };
    json!({
        "id": row.id,
        "customer": row.customer,
        "name": key.name,
        "scopes": key.scopes,
        "state": state,
        "created_at": rfc3339(key.created_at),
        "expires_at": key.expires_at.map(rfc3339),
        "revoked_at": key.revoked_at.map(rfc3339),
        "replaced_by": key.replaced_by,
        "last_used_at": row.last_used.map(rfc3339),
    })
}

impl MadeKey {
    /// With the key itself.
    pub fn json(&self, now: i64) -> Value {
        let mut shown = key_json(&self.row, now);
        shown["key"] = self.key.expose().into();
        shown
    }
}
