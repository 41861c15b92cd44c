//! `GET /billing/usage`: what the caller has used.

use axum::extract::State;
use axum::response::Response;

use crate::api::caller::Caller;
use crate::api::json::Asked;
use crate::api::usage::{Question, answer};
use crate::api::{Failed, Public};

pub(super) async fn usage(
    State(public): State<Public>,
    caller: Caller,
    Asked(question): Asked<Question>,
) -> Result<Response, Failed> {
    let period = public.customers.snapshot(&caller.entry, caller.now).period;
    let customer = (caller.entry.number, caller.entry.name.as_str());
    answer((&public.store, &public.others), customer, period, question).await
}
