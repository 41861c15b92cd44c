//! Handing events on, byte for byte, to the handler that was there before: until it takes them, for a day.
//!
//! They carry Stripe's own signature while it is fresh, later one of ours under the same secret, so that the other
//! handler need not be changed. It is given each event once: one that a sync has brought as Stripe lists it, signed by
//! us, and not again when Stripe delivers it after all. Meanwhile they lie sealed in the store, whatever the
//! configuration says of encryption: they hold what nobody may keep in the clear.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Notify;

use crate::clock;
use crate::seal::Sealer;
use crate::store::{Forward, Store, StoreError};
use crate::stripe::{Backoff, Secret, random, sign, signed_at};

/// Events on their way at once.
const CONCURRENCY: usize = 8;
/// Events taken up at once.
const WINDOW: u32 = 64;
/// They are looked for at least this often.
const IDLE: Duration = Duration::from_secs(1);
/// Stripe itself gives a handler ten seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A handler refuses signatures of five minutes ago.
const FRESH_SECONDS: i64 = 240;
const GIVEN_UP_AFTER_SECONDS: i64 = 86_400;

/// What is to be handed on, on its way through the store.
pub struct Outgoing {
    sealer: Sealer,
    arrived: Notify,
}

impl Outgoing {
    /// The first secret seals, all open. None without one.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Option<Self> {
        Some(Self { sealer: Sealer::new(secrets)?, arrived: Notify::new() })
    }

    /// A body as it lies in the store; none when the system has no randomness.
    pub fn packed(&self, event_id: &str, body: &[u8]) -> Option<Vec<u8>> {
        self.sealer.seal(&context(event_id), body)
    }

    fn unpacked(&self, event_id: &str, packed: &[u8]) -> Option<Vec<u8>> {
        self.sealer.open(&context(event_id), packed)
    }

    /// There is one to hand on.
    pub fn has_arrived(&self) {
        self.arrived.notify_one();
    }
}

fn context(event_id: &str) -> String {
    format!("forward:{event_id}")
}

/// Where events go beside us.
pub struct ForwardTo {
    url: String,
    secret: Secret,
    pub(super) outgoing: Arc<Outgoing>,
    client: reqwest::Client,
}

impl ForwardTo {
    /// `secret` signs events that have no fresh signature of Stripe's.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(url: String, secret: Secret, outgoing: Arc<Outgoing>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWERS_WITHIN)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { url, secret, outgoing, client })
    }
}

pub(super) struct Forwarder {
    to: ForwardTo,
    store: Arc<Store>,
}

impl Forwarder {
    pub fn new(to: ForwardTo, store: Arc<Store>) -> Self {
        Self { to, store }
    }

    /// Hands on what comes. Ends with the task.
    pub async fn run(&self) {
        loop {
            match self.due().await {
                Ok(due) if !due.is_empty() => {
                    let due = stream::iter(due);
                    due.for_each_concurrent(CONCURRENCY, |forward| self.hand_on(forward)).await;
                }
                outcome => {
                    if let Err(error) = outcome {
                        tracing::error!(%error, "events to hand on could not be read; it is tried again");
                    }
                    tokio::select! {
                        () = self.to.outgoing.arrived.notified() => {}
                        () = tokio::time::sleep(IDLE) => {}
                    }
                }
            }
        }
    }

    async fn due(&self) -> Result<Vec<Forward>, StoreError> {
        self.store.due_forwards(clock::now().seconds(), WINDOW).await
    }

    async fn hand_on(&self, forward: Forward) {
        let outcome = self.deliver(&forward).await;
        let event_id = forward.event_id.clone();
        let kept = match outcome {
            Ok(()) => self.store.forwarded(event_id).await,
            Err(failure) => self.put_off(&forward, failure).await,
        };
        if let Err(error) = kept {
            // It comes up again.
            tracing::error!(%error, event = forward.event_id, "what became of a forwarded event was not stored");
            tokio::time::sleep(IDLE).await;
        }
    }

    async fn deliver(&self, forward: &Forward) -> Result<(), Failure> {
        let body = self.to.outgoing.unpacked(&forward.event_id, &forward.body);
        let body = body.ok_or(Failure { reason: "it cannot be unsealed".to_owned(), passing: false })?;
        let now = clock::now().seconds();
        let fresh =
            signed_at(&forward.signature).is_some_and(|at| now.abs_diff(at) < FRESH_SECONDS.unsigned_abs());
        let signature = if fresh { forward.signature.clone() } else { sign(&body, &self.to.secret, now) };
        let request = self.to.client.post(&self.to.url).header("stripe-signature", signature);
        let sent = request.header("content-type", "application/json; charset=utf-8").body(body).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Failure { reason: format!("it answered {}", answer.status()), passing: true }),
            Err(error) => Err(Failure { reason: error.without_url().to_string(), passing: true }),
        }
    }

    async fn put_off(&self, forward: &Forward, failure: Failure) -> Result<(), StoreError> {
        let Failure { reason, passing } = failure;
        let (now, event_id) = (clock::now().seconds(), forward.event_id.clone());
        if !passing || now - forward.received_at > GIVEN_UP_AFTER_SECONDS {
            tracing::error!(event = event_id, reason, "an event was not handed on");
            return self.store.give_up_forward(event_id, reason, now).await;
        }
        tracing::warn!(event = event_id, reason, "an event waits to be handed on");
        let pause = Backoff::DURABLE.pause(forward.tries + 1, random()).as_secs().max(1);
        self.store.put_off_forward(event_id, now + i64::try_from(pause).unwrap_or(1)).await
    }
}

struct Failure {
    reason: String,
    /// Another try may succeed.
    passing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_lies_sealed_and_comes_back_as_it_was_under_its_own_id() {
        let outgoing = Outgoing::new(["whsec_new", "whsec_old"]).expect("a secret");
        let lies = outgoing.packed("evt_1", b"jane@example.com").expect("seals");
        assert!(!lies.windows(4).any(|window| window == b"jane"));
        assert_eq!(outgoing.unpacked("evt_1", &lies).as_deref(), Some(&b"jane@example.com"[..]));
        assert_eq!(outgoing.unpacked("evt_2", &lies), None);
        let before = Outgoing::new(["whsec_old"]).and_then(|old| old.packed("evt_1", b"{}")).expect("seals");
        assert_eq!(outgoing.unpacked("evt_1", &before).as_deref(), Some(&b"{}"[..]), "a secret was rolled");
        assert!(Outgoing::new([""; 0]).is_none());
    }
}
