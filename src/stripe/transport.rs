//! The one way to Stripe: a pooled client behind two rate limits and the circuit breaker.
//!
//! - Connections are reused: answers are always read to their end.
//! - Every attempt has a timeout, counts in the metrics and informs the breaker.
//! - The API version is pinned to the one that async-stripe's types were generated from.
//! - No redirects are followed: the secret key goes to the configured host only.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stripe_client_core::{IdempotencyKey, RequestBuilder};

use super::answer::{self, Answer};
use super::backoff::Backoff;
use super::breaker::{Breaker, Health};
use super::calls::Calls;
use super::error::CallError;
use super::limiter::{Lane, Limiter};
use super::options::{self, TransportError, TransportOptions};
use super::prepared::Prepared;
use super::secret::Secret;
use crate::metrics::METRICS;

/// The way to Stripe; see the module's promises. Share it behind an `Arc`.
pub struct Transport {
    client: reqwest::Client,
    base: String,
    secret: Secret,
    limiter: Limiter,
    breaker: Mutex<Breaker>,
    pub(super) tries: u32,
    pub(super) backoff: Backoff,
}

impl Transport {
    /// # Errors
    /// A base or a key that cannot be right, or a system without usable TLS roots.
    pub fn new(options: TransportOptions) -> Result<Self, TransportError> {
        let base = options::checked_base(&options.api_base)?;
        Ok(Self {
            client: options::client(&base, &options)?,
            base: base.as_str().trim_end_matches('/').to_owned(),
            limiter: Limiter::new(options.max_requests_per_second, options.meter_events_per_second),
            secret: options.secret_key,
            breaker: Mutex::default(),
            tries: options.tries,
            backoff: options.backoff,
        })
    }

    /// A client for async-stripe's typed requests, which tries again by itself. `operation` names them in the
    /// metrics.
    #[must_use]
    pub fn calls(&self, operation: &'static str) -> Calls<'_> {
        Calls::new(self, operation)
    }

    /// One attempt and no more, for callers that schedule the next one durably.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn once(
        &self,
        operation: &'static str,
        lane: Lane,
        request: RequestBuilder,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer, CallError> {
        self.attempt(operation, lane, &self.prepare(request, key)?).await
    }

    /// One attempt to read what only Stripe's second API has.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(super) async fn once_v2(&self, operation: &'static str, path: &str) -> Result<Answer, CallError> {
        self.attempt(operation, Lane::General, &Prepared::get_v2(&self.base, path)?).await
    }

    /// Nothing but probes is sent at present.
    pub fn circuit_open(&self) -> bool {
        self.breaker().is_open()
    }

    pub(super) fn prepare(
        &self,
        request: RequestBuilder,
        key: Option<&IdempotencyKey>,
    ) -> Result<Prepared, CallError> {
        Prepared::new(&self.base, request, key)
    }

    pub(super) async fn attempt(
        &self,
        operation: &'static str,
        lane: Lane,
        prepared: &Prepared,
    ) -> Result<Answer, CallError> {
        self.limiter.turn(lane).await;
        if !self.breaker().admit(Instant::now()) {
            return Err(CallError::CircuitOpen);
        }
        let started = Instant::now();
        let result = self.exchange(prepared).await;
        METRICS
            .stripe_request_seconds
            .with_label_values(&[operation])
            .observe(started.elapsed().as_secs_f64());
        METRICS.stripe_requests.with_label_values(&[operation, outcome(&result)]).inc();
        tell(operation, &result, started.elapsed());
        self.report(health(&result));
        result
    }

    async fn exchange(&self, prepared: &Prepared) -> Result<Answer, CallError> {
        let response = prepared.attempt(&self.client).send().await.map_err(answer::unreachable)?;
        answer::read(response, &self.secret).await
    }

    /// Tells the breaker how an attempt ended; logs when the circuit changes.
    fn report(&self, health: Health) {
        let (before, after) = {
            let mut breaker = self.breaker();
            let before = breaker.is_open();
            breaker.report(health, Instant::now());
            let after = breaker.is_open();
            METRICS.stripe_circuit_open.set(i64::from(after));
            (before, after)
        };
        match (before, after) {
            (false, true) => tracing::warn!("stripe does not answer: circuit open, probing"),
            (true, false) => tracing::info!("stripe answers again: circuit closed"),
            _ => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("base", &self.base).finish_non_exhaustive()
    }
}

/// For who debugs; nothing of what was sent or came but its outcome.
fn tell(operation: &'static str, result: &Result<Answer, CallError>, took: Duration) {
    let ms = took.as_millis();
    match result {
        Ok(Answer { status, request_id, replayed, .. }) => {
            tracing::debug!(operation, status, request_id, replayed, ms, "stripe answered");
        }
        Err(error) => tracing::debug!(operation, %error, ms, "a call to stripe failed"),
    }
}

/// The label `outcome` of `stripe_requests_total`.
fn outcome(result: &Result<Answer, CallError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(CallError::Status(error)) if !error.is_transient() => "refused",
        Err(_) => "failed",
    }
}

/// A 429 is an answer like any other: Stripe is there, and the pause is the caller's matter.
fn health(result: &Result<Answer, CallError>) -> Health {
    match result {
        Err(CallError::Unreachable { .. }) => Health::Failed,
        Err(CallError::Status(error)) if error.status >= 500 => Health::Failed,
        _ => Health::Answered,
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
