//! `POST /admin/customers/{id}/link`: a link to the usage page, for backends that hold the admin token.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::AdminState;
use super::customer::Present;
use crate::api::Failed;
use crate::api::json::Body;
use crate::api::link::{Asked, made};
use crate::clock;

pub(super) async fn link(
    State(state): State<AdminState>,
    Present(customer): Present,
    Body(asked): Body<Asked>,
) -> Result<Json<Value>, Failed> {
    let entry = state.customers.load(&customer.name, None, clock::now()).await?;
    made(&state.links, &entry, asked, &state.settings.now().return_origins).await
}
