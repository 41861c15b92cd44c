//! `GET /admin/audit`: who did what, when and why, the latest first.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::AuditRow;

use super::AdminState;
use crate::api::Failed;
use crate::api::json::{Asked, Page, list as page_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    customer: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(which): Asked<Which>,
) -> Result<Json<Value>, Failed> {
    let page = Page { limit: which.limit, cursor: which.cursor };
    let (limit, before) = (page.limit()?, page.after()?);
    let customer = match which.customer {
        None => None,
        Some(name) => {
            let unknown = || Problem::new(Code::NotFound, "there is no customer of this name");
            Some(state.store.find_listing(name).await?.ok_or_else(unknown)?.number)
        }
    };
    let rows = state.store.audit_rows(customer, before, limit + 1).await?;
    Ok(page_of(rows, limit, |row| row.id.to_string(), shown))
}

fn shown(row: &AuditRow) -> Value {
    json!({
        "id": row.id,
        "at": rfc3339(row.at),
        "action": row.action,
        "customer": row.customer,
        "actor": row.actor,
        "detail": row.detail,
        "before": row.before,
        "after": row.after,
    })
}
