//! The rights of people: `GET /admin/customers/{id}/export`, `DELETE /admin/customers/{id}`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::clock;
use crate::customers::Erasure;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::{Act, Erased};

use super::AdminState;
use super::customer::{Named, Present};
use crate::api::Failed;

/// Everything in the store; `tollgate ledger export --customer` has the single charges.
pub(super) async fn export(
    State(state): State<AdminState>,
    Named(customer): Named,
) -> Result<Json<Value>, Failed> {
    let act = Act {
        action: "customer_exported",
        customer: Some(customer.number),
        actor: "operator",
        ..Act::default()
    };
    state.store.note(act, clock::now().seconds()).await?;
    Ok(Json(state.store.export_customer(customer.number, customer.stripe_customer).await?))
}

pub(super) async fn erase(
    State(state): State<AdminState>,
    Present(customer): Present,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let busy = "requests of this customer are under way, or not recorded yet: try again in a moment";
    let problem = match state.customers.erase(&customer.name, now).await? {
        Erasure::Asked(Erased::As(name)) => {
            tracing::info!(customer = customer.number, "customer_erased");
            return Ok(Json(json!({ "customer": name, "erased_at": rfc3339(now.seconds()) })));
        }
        Erasure::Asked(Erased::Refused(needed)) => Problem::new(Code::Conflict, needed.to_string()),
        Erasure::Asked(Erased::Unknown) => Problem::new(Code::NotFound, "there is no customer of this name"),
        Erasure::Busy => Problem::new(Code::Conflict, busy),
    };
    Err(Failed(problem))
}
