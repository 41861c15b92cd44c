//! async-stripe's typed requests over our transport, with a few attempts while somebody waits.
//!
//! All attempts of one call carry the same `Idempotency-Key`: the request's own, or a random one. So a POST
//! whose answer was lost has its effect once.

use bytes::Bytes;
use stripe_client_core::{
    AccountId, CustomizedStripeRequest, IdempotencyKey, RequestBuilder, RequestStrategy, StripeClient,
    StripeMethod,
};
use uuid::Uuid;

use super::answer::Answer;
use super::backoff;
use super::error::CallError;
use super::limiter::Lane;
use super::prepared::Prepared;
use super::transport::Transport;

/// As many attempts as a request may ask for.
const MOST_TRIES: u32 = 5;

/// A `StripeClient`; made by [`Transport::calls`].
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    transport: &'a Transport,
    operation: &'static str,
}

impl<'a> Calls<'a> {
    pub(super) fn new(transport: &'a Transport, operation: &'static str) -> Self {
        Self { transport, operation }
    }

    fn prepare(&self, request: CustomizedStripeRequest) -> Result<(Prepared, u32), CallError> {
        let (request, config) = request.into_pieces();
        let is_post = matches!(request.method, StripeMethod::Post);
        let random_key = || is_post.then(random_key).flatten();
        let (tries, key) = match config.request_strategy {
            None => (self.transport.tries, random_key()),
            Some(RequestStrategy::Idempotent(key)) => (self.transport.tries, Some(key)),
            Some(RequestStrategy::Once) => (1, None),
            Some(RequestStrategy::Retry(tries) | RequestStrategy::ExponentialBackoff(tries)) => {
                (tries, random_key())
            }
        };
        let prepared = self
            .transport
            .prepare(request, key.as_ref())?
            .for_account(config.account_id.as_ref().map(AccountId::as_str))?
            .with_timeout(config.timeout);
        Ok((prepared, tries.clamp(1, MOST_TRIES)))
    }

    /// Reads something, for callers that look at the answer themselves.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn read(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        self.attempts(&self.transport.prepare(request, None)?, self.transport.tries).await
    }

    /// Changes something, under the caller's key in all attempts.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn change(&self, request: RequestBuilder, key: &IdempotencyKey) -> Result<Answer, CallError> {
        self.attempts(&self.transport.prepare(request, Some(key))?, self.transport.tries).await
    }

    /// As often as it is worthwhile, with pauses.
    async fn attempts(&self, prepared: &Prepared, most: u32) -> Result<Answer, CallError> {
        let mut attempts = 0;
        loop {
            let result = self.transport.attempt(self.operation, Lane::General, prepared).await;
            attempts += 1;
            match result {
                Err(error) if attempts < most && error.deserves_retry() => {
                    let pause = self.transport.backoff.pause(attempts, backoff::random());
                    tracing::debug!(operation = self.operation, %error, attempts, ?pause, "trying again");
                    tokio::time::sleep(pause).await;
                }
                result => return result,
            }
        }
    }
}

impl StripeClient for Calls<'_> {
    type Err = CallError;

    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, CallError> {
        let (prepared, most) = self.prepare(request)?;
        Ok(self.attempts(&prepared, most).await?.body)
    }
}

fn random_key() -> Option<IdempotencyKey> {
    IdempotencyKey::new(Uuid::new_v4().to_string()).ok()
}
