//! `POST /webhooks/stripe`: verified over the raw bytes, stored before the 200, applied later.

use std::num::NonZeroU32;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::{Value, json};

use crate::domain::rate::Rate;
use crate::metrics::METRICS;
use crate::problem::{Code, Problem};
use crate::store::{EventFacts, Stored};
use crate::stripe::{Event, Secret, TOLERANCE_SECONDS, verify};

use super::caller::now;
use super::{Failed, Public};

/// Limits all webhooks together.
pub type WebhookLimit = DefaultDirectRateLimiter;

pub struct WebhookSettings {
    /// Several while one is being rolled.
    pub secrets: Vec<Secret>,
    /// Whether the secret key is a live one: events of the other mode change nothing.
    pub livemode: bool,
    pub limit: WebhookLimit,
}

impl WebhookSettings {
    pub fn limit(rate: Rate) -> WebhookLimit {
        let burst = NonZeroU32::new(rate.burst()).unwrap_or(NonZeroU32::MIN);
        let each = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(burst));
        RateLimiter::direct(each.allow_burst(burst))
    }
}

/// The events that change something here. Others are stored and answered all the same.
const APPLIED: [&str; 9] = [
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "checkout.session.completed",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
];

pub(super) async fn receive(
    State(public): State<Public>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failed> {
    let started = Instant::now();
    if public.webhook.limit.check().is_err() {
        let problem = Problem::new(Code::RateLimited, "too many webhooks at once; they are delivered again");
        return Err(Problem { retry_after: Some(1), ..problem }.into());
    }
    let event = verified(&public.webhook, &headers, &body)?;
    let stored = store(&public, &event).await?;
    let outcome = match stored {
        Stored::New => "stored",
        Stored::Duplicate => {
            METRICS.webhook_duplicates.inc();
            "duplicate"
        }
    };
    METRICS.webhooks.with_label_values(&[label(&event.kind), outcome]).inc();
    METRICS.webhook_seconds.observe(started.elapsed().as_secs_f64());
    tracing::info!(event = event.id, kind = event.kind, outcome, "stripe_webhook_verified");
    public.arrived.notify_one();
    Ok(Json(json!({ "received": true })))
}

/// The event, once its signature has been checked.
fn verified(settings: &WebhookSettings, headers: &HeaderMap, body: &[u8]) -> Result<Event, Failed> {
    let refuse = |detail: String| {
        METRICS.webhooks.with_label_values(&["other", "invalid"]).inc();
        Failed(Problem::new(Code::BadRequest, detail))
    };
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    verify(signature, body, &settings.secrets, now().seconds(), TOLERANCE_SECONDS).map_err(|error| {
        tracing::warn!(%error, "stripe_webhook_invalid_signature");
        refuse(error.to_string())
    })?;
    Event::read(body).map_err(|error| refuse(error.to_string()))
}

async fn store(public: &Public, event: &Event) -> Result<Stored, Failed> {
    let now = now().seconds();
    let other_mode = event.livemode.is_some_and(|livemode| livemode != public.webhook.livemode);
    if other_mode {
        let detail = format!("{} ({}) is of the other mode than the secret key", event.id, event.kind);
        public.store.audit(now, "webhook_ignored", None, detail).await?;
    }
    let applied = !other_mode && APPLIED.contains(&event.kind.as_str());
    let facts = applied.then(|| EventFacts {
        stripe_customer: event.customer.clone(),
        subscription: event.subscription.clone(),
        client_reference_id: event.client_reference_id.clone(),
        tollgate_customer: event.tollgate_customer.clone(),
    });
    let created = event.created.unwrap_or(now);
    Ok(public.store.receive(event.id.clone(), event.kind.clone(), created, facts, now).await?)
}

fn label(kind: &str) -> &str {
    if APPLIED.contains(&kind) { kind } else { "other" }
}
