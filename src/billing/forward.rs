//! Handing events on, byte for byte, to the handler that was there before: until it takes them, for a day.
//!
//! They carry Stripe's own signature while it is fresh, later one of ours under the same secret, so that the other
//! handler need not be changed. It is given each event once; what Stripe sends again is not handed on again.

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

/// Where events go beside us.
pub struct ForwardTo {
    url: String,
    secret: Secret,
    sealer: Option<Arc<Sealer>>,
    arrived: Arc<Notify>,
    client: reqwest::Client,
}

impl ForwardTo {
    /// `secret` signs events when Stripe's signature has aged; `arrived` is told when there is one to hand on.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(
        url: String,
        secret: Secret,
        sealer: Option<Arc<Sealer>>,
        arrived: Arc<Notify>,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWERS_WITHIN)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { url, secret, sealer, arrived, client })
    }
}

/// How a body lies in the store until it is handed on: sealed if there is a key.
pub fn packed(sealer: Option<&Sealer>, event_id: &str, body: &[u8]) -> Option<Vec<u8>> {
    match sealer {
        Some(sealer) => Some([&[SEALED][..], &sealer.seal(&context(event_id), body)?].concat()),
        None => Some([&[PLAIN][..], body].concat()),
    }
}

const PLAIN: u8 = 0;
const SEALED: u8 = 1;

fn unpacked(sealer: Option<&Sealer>, event_id: &str, packed: &[u8]) -> Option<Vec<u8>> {
    match packed.split_first()? {
        (&SEALED, rest) => sealer?.open(&context(event_id), rest),
        (_, plain) => Some(plain.to_vec()),
    }
}

fn context(event_id: &str) -> String {
    format!("forward:{event_id}")
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
                        () = self.to.arrived.notified() => {}
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
        let body = unpacked(self.to.sealer.as_deref(), &forward.event_id, &forward.body)
            .ok_or(Failure { reason: "it cannot be unsealed".to_owned(), passing: false })?;
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
    fn a_body_comes_back_as_it_was_and_lies_sealed_where_there_is_a_key() {
        let sealer = Sealer::new(["a key of at least thirty-two bytes"]).expect("a key");
        for sealer in [None, Some(&sealer)] {
            let lies = packed(sealer, "evt_1", b"{\"a\":1}").expect("packs");
            assert_eq!(unpacked(sealer, "evt_1", &lies).as_deref(), Some(&b"{\"a\":1}"[..]));
            assert_eq!(lies.windows(3).any(|window| window == b"\"a\""), sealer.is_none());
        }
        let lies = packed(Some(&sealer), "evt_1", b"{}").expect("packs");
        assert_eq!(unpacked(None, "evt_1", &lies), None);
        assert_eq!(unpacked(Some(&sealer), "evt_2", &lies), None);
    }
}
