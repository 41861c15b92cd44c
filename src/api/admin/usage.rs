//! `GET /admin/customers/{id}/usage`: what a customer has used.

use axum::extract::State;
use axum::response::Response;

use crate::api::Failed;
use crate::api::json::Asked;
use crate::api::usage::{Question, answer};
use crate::clock;

use super::AdminState;
use super::customer::Named;

pub(super) async fn usage(
    State(state): State<AdminState>,
    Named(customer): Named,
    Asked(question): Asked<Question>,
) -> Result<Response, Failed> {
    let now = clock::now();
    let entry = state.customers.load(&customer.name, None, now).await?;
    let period = state.customers.snapshot(&entry, now).period;
    answer((&state.store, &state.others), (customer.number, &customer.name), period, question).await
}
