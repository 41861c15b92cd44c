//! One request's way through the sandbox: key, rate, idempotency, faults, the operation itself.
//!
//! The order is Stripe's: "rate limiters run before the idempotency layer", so a 429 is never kept under
//! a key; a key is claimed before the operation waits for anything, so a twin meets it in use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::alarms;
use super::delivery::unix_now;
use super::error::ApiError;
use super::events::Delivery;
use super::expand::expand;
use super::faults::{Failure, Fault, Moment};
use super::idempotency::{Claim, Fingerprint, Stored};
use super::limiter::Limiter;
use super::meter_events;
use super::params::Params;
use super::route::{METER_EVENT, Route};
use super::state::{Call, State};

#[derive(Debug)]
pub struct Service {
    state: Mutex<State>,
    limiter: Mutex<Limiter>,
    started: Instant,
    deliveries: mpsc::UnboundedSender<Delivery>,
}

/// What the operations need of an HTTP request.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub params: Params,
    /// Query and body as they came; an idempotency key is bound to them.
    pub raw: &'a [u8],
    pub idempotency_key: Option<&'a str>,
}

#[derive(Debug)]
pub enum Outcome {
    Answer(Answer),
    Html(u16),
    /// The connection ends without an answer.
    HangUp,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    pub error: Option<ApiError>,
    pub replayed: bool,
}

impl Answer {
    fn of(result: Result<Value, ApiError>) -> Self {
        match result {
            Ok(value) => Self { status: 200, body: value.to_string().into(), error: None, replayed: false },
            Err(error) => error.into(),
        }
    }

    /// Whether the idempotency layer keeps it.
    fn kept(&self) -> bool {
        self.error.as_ref().is_none_or(|error| error.kept)
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Self {
            status: error.status,
            body: error.json().to_string().into(),
            error: Some(error),
            replayed: false,
        }
    }
}

impl Service {
    pub fn new(state: State, limiter: Limiter, deliveries: mpsc::UnboundedSender<Delivery>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            limiter: Mutex::new(limiter),
            started: Instant::now(),
            deliveries,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state at the present moment, and sends off the events it made.
    pub fn with<T>(&self, act: impl FnOnce(&mut State, i64) -> T) -> T {
        let now = unix_now();
        let mut state = self.lock();
        alarms::pass(&mut state, now);
        let result = act(&mut state, now);
        for delivery in state.outgoing.drain(..) {
            // Without a delivering task, at the end, events only stay in the list.
            let _ = self.deliveries.send(delivery);
        }
        result
    }

    pub fn admit(&self) -> Result<(), ApiError> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.admit(self.started.elapsed()) { Ok(()) } else { Err(ApiError::rate_limited()) }
    }

    /// Runs an operation outside the API: a hook, which has no key, rate, faults or idempotency.
    pub fn run_hook(&self, route: &Route<'_>, params: &Params) -> Answer {
        Answer::of(self.execute(route, params))
    }

    pub async fn run(&self, route: &Route<'_>, request: &Request<'_>) -> Outcome {
        *self.lock().calls.entry(route.name).or_default() += 1;
        let key = request.idempotency_key.filter(|_| request.method == "POST");
        let claim = match key.map(|key| self.claim(key, request)).transpose() {
            Ok(Some(Claimed::Replay(answer))) => return Outcome::Answer(answer),
            Ok(Some(Claimed::Fresh(held))) => Some(held),
            Ok(None) => None,
            Err(error) => return Outcome::Answer(error.into()),
        };
        let fault = self.lock().faults.take(route.name);
        let turn = match self.take_turn(route, &request.params) {
            Ok(turn) => turn,
            Err(error) => return Outcome::Answer(error.into()),
        };
        if let Some(fault) = fault {
            tokio::time::sleep(fault.delay).await;
        }
        if let Some(failure) = failure(fault, Moment::Before) {
            let outcome = fail(failure);
            if let Outcome::Answer(injected) = &outcome {
                keep(claim, injected);
            }
            return outcome;
        }
        let answer = Answer::of(self.execute(route, &request.params));
        drop(turn);
        let Some(failure) = failure(fault, Moment::After) else {
            keep(claim, &answer);
            return Outcome::Answer(answer);
        };
        match fail(failure) {
            Outcome::Answer(injected) => {
                keep(claim, &injected);
                Outcome::Answer(injected)
            }
            other => {
                keep(claim, &answer);
                other
            }
        }
    }

    fn execute(&self, route: &Route<'_>, params: &Params) -> Result<Value, ApiError> {
        self.with(|state, now| {
            let call = Call { now, id: route.id, owner: route.owner, params };
            let mut value = (route.operation)(state, &call)?;
            // By now the operation has taken effect, whatever there is to expand.
            expand(state, params, &mut value).map_err(ApiError::kept)?;
            Ok(value)
        })
    }

    fn claim<'a>(&'a self, key: &'a str, request: &Request<'_>) -> Result<Claimed<'a>, ApiError> {
        let fingerprint = fingerprint(request);
        match self.lock().idempotency.claim(key, fingerprint, unix_now()) {
            Claim::Fresh => Ok(Claimed::Fresh(HeldKey { service: self, key })),
            Claim::Replay(stored) => Ok(Claimed::Replay(Answer {
                status: stored.status,
                body: stored.body,
                error: None,
                replayed: true,
            })),
            Claim::Running => Err(ApiError::key_in_use(key)),
            Claim::Other => Err(ApiError::key_reused(key)),
        }
    }

    /// Meter events of one customer and meter pass one at a time.
    fn take_turn(&self, route: &Route<'_>, params: &Params) -> Result<Option<Turn<'_>>, ApiError> {
        if route.name != METER_EVENT {
            return Ok(None);
        }
        let mut state = self.lock();
        let Some(writes_to) = meter_events::writes_to(&state, params) else {
            return Ok(None);
        };
        if !state.in_flight.insert(writes_to.clone()) {
            return Err(ApiError::lock_timeout());
        }
        Ok(Some(Turn { service: self, writes_to }))
    }
}

fn fingerprint(request: &Request<'_>) -> Fingerprint {
    let mut digest = Sha256::new();
    digest.update(request.path);
    digest.update([0]);
    digest.update(request.raw);
    digest.finalize().into()
}

fn failure(fault: Option<Fault>, moment: Moment) -> Option<Failure> {
    fault.filter(|fault| fault.moment == moment)?.failure
}

fn fail(failure: Failure) -> Outcome {
    match failure {
        Failure::Status(refusal) => Outcome::Answer(ApiError::injected(refusal).into()),
        Failure::Html(status) => Outcome::Html(status),
        Failure::HangUp => Outcome::HangUp,
    }
}

enum Claimed<'a> {
    Fresh(HeldKey<'a>),
    Replay(Answer),
}

/// An idempotency key in use. Dropped without a result, as when a fault struck first, it is free again.
struct HeldKey<'a> {
    service: &'a Service,
    key: &'a str,
}

fn keep(held: Option<HeldKey<'_>>, answer: &Answer) {
    let Some(held) = held.filter(|_| answer.kept()) else {
        return;
    };
    let stored = Stored { status: answer.status, body: answer.body.clone() };
    held.service.lock().idempotency.finish(held.key, stored);
}

impl Drop for HeldKey<'_> {
    fn drop(&mut self) {
        self.service.lock().idempotency.abandon(self.key);
    }
}

/// The right to write to a customer's meter.
struct Turn<'a> {
    service: &'a Service,
    writes_to: (String, String),
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.service.lock().in_flight.remove(&self.writes_to);
    }
}
