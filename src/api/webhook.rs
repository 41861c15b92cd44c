//! `POST /webhooks/stripe`: verified over the raw bytes, stored before the 200, applied later.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::{Value, json};

use crate::billing::{Outgoing, arrival, is_applied, is_of_other_mode};
use crate::clock;
use crate::domain::rate::Rate;
use crate::metrics::METRICS;
use crate::problem::{Code, Problem};
use crate::seal::Sealer;
use crate::store::{NewEvent, Stored};
use crate::stripe::{Event, Secret, TOLERANCE_SECONDS, verify};

use super::{Failed, Public};

pub struct WebhookSettings {
    /// Several while one is being rolled.
    pub secrets: Vec<Secret>,
    /// Whether the secret key is a live one: events of the other mode change nothing.
    pub livemode: bool,
    pub limits: WebhookLimits,
    /// Without one no payload is kept.
    pub sealer: Option<Arc<Sealer>>,
    /// What is to be handed on to another handler; none: there is no other.
    pub outgoing: Option<Arc<Outgoing>>,
}

/// A longer payload is not kept: what it is about is read again from Stripe anyway.
const LONGEST_PAYLOAD: usize = 64 << 10;

/// How many webhooks are taken.
pub struct WebhookLimits {
    signed: DefaultDirectRateLimiter,
    /// Counts bad signatures alone, so that it never refuses a signed event.
    bad_by_address: DefaultKeyedRateLimiter<IpAddr>,
}

/// Bad signatures from one address in a minute, before it is told to slow down.
const BAD_PER_MINUTE: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
/// Addresses remembered before those that have rested are forgotten.
const ADDRESSES: usize = 10_000;

impl WebhookLimits {
    pub fn new(rate: Rate) -> Self {
        let burst = NonZeroU32::new(rate.burst()).unwrap_or(NonZeroU32::MIN);
        let each = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(burst));
        Self {
            signed: RateLimiter::direct(each.allow_burst(burst)),
            bad_by_address: RateLimiter::keyed(Quota::per_minute(BAD_PER_MINUTE)),
        }
    }

    /// Counts a bad signature; answers whether the address sends too many.
    fn is_abuse(&self, address: IpAddr) -> bool {
        if self.bad_by_address.len() > ADDRESSES {
            self.bad_by_address.retain_recent();
        }
        self.bad_by_address.check_key(&address).is_err()
    }
}

pub(super) async fn receive(
    State(public): State<Public>,
    client: Option<Extension<IpAddr>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failed> {
    let started = Instant::now();
    let address = client.map(|Extension(client)| client);
    let event = verified(&public.webhook, address, &headers, &body)?;
    // Only signed events spend it: nobody else can crowd them out.
    if public.webhook.limits.signed.check().is_err() {
        not_taken("slowed");
        return Err(slow_down("too many webhooks at once; they are delivered again"));
    }
    let signature = signature(&headers);
    let stored = store(&public, &event, signature, &body).await;
    METRICS.webhook_seconds.observe(started.elapsed().as_secs_f64());
    let stored = stored.inspect_err(|_| not_taken("failed"))?;
    let outcome = match stored {
        Stored::New => "stored",
        Stored::Duplicate => {
            METRICS.webhook_duplicates.inc();
            "duplicate"
        }
    };
    METRICS.webhooks.with_label_values(&[label(&event.kind), outcome]).inc();
    tracing::info!(event = event.id, kind = event.kind, outcome, "stripe_webhook_verified");
    public.arrived.notify_one();
    Ok(Json(json!({ "received": true })))
}

/// Stripe will send it again.
fn not_taken(outcome: &str) {
    METRICS.webhooks.with_label_values(&["other", outcome]).inc();
}

fn slow_down(detail: &'static str) -> Failed {
    Failed(Problem { retry_after: Some(1), ..Problem::new(Code::RateLimited, detail) })
}

/// The event, once its signature has been checked.
fn verified(
    settings: &WebhookSettings,
    address: Option<IpAddr>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Event, Failed> {
    let refuse = |detail: String| {
        not_taken("invalid");
        Failed(Problem::new(Code::BadRequest, detail))
    };
    let signed =
        verify(signature(headers), body, &settings.secrets, clock::now().seconds(), TOLERANCE_SECONDS);
    signed.map_err(|error| {
        tracing::warn!(%error, "stripe_webhook_invalid_signature");
        match address {
            Some(address) if settings.limits.is_abuse(address) => {
                not_taken("invalid");
                slow_down("too many bad signatures")
            }
            _ => refuse(error.to_string()),
        }
    })?;
    Event::read(body).map_err(|error| refuse(error.to_string()))
}

fn signature(headers: &HeaderMap) -> &str {
    headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn store(public: &Public, event: &Event, signature: &str, body: &[u8]) -> Result<Stored, Failed> {
    let (settings, now) = (&public.webhook, clock::now().seconds());
    if is_of_other_mode(event, settings.livemode) {
        let detail = format!("{} ({}) is of the other mode than the secret key", event.id, event.kind);
        public.store.audit(now, "webhook_ignored", None, detail).await?;
    }
    let sealer = settings.sealer.as_ref().filter(|_| body.len() <= LONGEST_PAYLOAD);
    let forward = settings.outgoing.as_ref().map(|outgoing| {
        let body = outgoing.packed(&event.id, body).ok_or_else(no_randomness)?;
        Ok::<_, Failed>((signature.to_owned(), body))
    });
    let arrival = NewEvent {
        payload: sealer.and_then(|sealer| sealer.seal(&payload_context(&event.id), body)),
        forward: forward.transpose()?,
        ..arrival(event, settings.livemode, now)
    };
    let stored = public.store.receive(arrival, now).await?;
    if let Some(outgoing) = settings.outgoing.as_ref().filter(|_| stored == Stored::New) {
        outgoing.has_arrived();
    }
    Ok(stored)
}

/// What a sealed payload belongs to.
pub(super) fn payload_context(event_id: &str) -> String {
    format!("inbox:{event_id}")
}

fn no_randomness() -> Failed {
    tracing::error!("the system has no randomness: an event could not be sealed for the other handler");
    Failed(Problem::new(Code::Internal, "something went wrong here; try again"))
}

fn label(kind: &str) -> &str {
    if is_applied(kind) { kind } else { "other" }
}
