//! `POST /billing/link`: a link that lets the caller's browser in to the usage page, once.
//!
//! Each call makes another link, under an `Idempotency-Key` as well: one that has been used is of no use to a repeat.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::api::caller::Caller;
use crate::api::json::Body;
use crate::api::link::{Asked, made};
use crate::api::{Failed, Public};

pub(super) async fn link(
    State(public): State<Public>,
    caller: Caller,
    Body(asked): Body<Asked>,
) -> Result<Json<Value>, Failed> {
    made(&public.links, &caller.entry, asked, &public.billing.return_origins).await
}
