//! One order under its `Idempotency-Key`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clock;
use crate::problem::{Code, Problem};
use crate::store::{Begun, Sha256Digest};
use crate::stripe::IdempotencyKey;

use super::{Buyer, Order, Shop, ShopError};

/// What Stripe takes as a key.
const LONGEST_KEY: usize = 255;

/// An order under way.
pub(super) struct Operation {
    /// Names the order in Stripe's keys: the customer, the endpoint, and what the client calls it.
    customer: String,
    number: u32,
    endpoint: &'static str,
    client_key: String,
    /// Of the row; none where the client sent no key.
    row: Option<Sha256Digest>,
    attempt: u32,
    /// It was begun before, and may have had an effect.
    pub goes_on: bool,
}

pub(super) enum Opened {
    Answered(Value),
    Begun(Operation),
}

impl Operation {
    /// The key of one of its steps. The same in every try, until Stripe has kept a failure under it.
    pub fn key(&self, step: &str) -> Result<IdempotencyKey, ShopError> {
        let Self { customer, endpoint, attempt, client_key, .. } = self;
        stripe_key(&format!("{customer}:{endpoint}.{step}.{attempt}:{client_key}"))
    }
}

/// What is too long for Stripe is named by its digest.
pub(super) fn stripe_key(name: &str) -> Result<IdempotencyKey, ShopError> {
    let name = if name.len() > LONGEST_KEY { format!("{:x}", Sha256::digest(name)) } else { name.to_owned() };
    IdempotencyKey::new(name).map_err(|_| ShopError::Unreadable)
}

impl Shop {
    pub(super) async fn open(&self, buyer: &Buyer, order: &Order) -> Result<Opened, ShopError> {
        let asked = serde_json::to_vec(order).map_err(|_| ShopError::Unreadable)?;
        let request: Sha256Digest = Sha256::digest(asked).into();
        let row: Option<Sha256Digest> = buyer.key.as_ref().map(|key| Sha256::digest(key).into());
        let (mut attempt, mut goes_on) = (0, false);
        if let Some(row) = row {
            let now = clock::now().seconds();
            match self.store.begin_operation(buyer.entry.number, row, request, now).await? {
                Begun::New => {}
                Begun::Again { attempt: reached, .. } => (attempt, goes_on) = (reached, true),
                Begun::Answered(answer) => {
                    let answer = serde_json::from_str(&answer).map_err(|_| ShopError::Unreadable)?;
                    return Ok(Opened::Answered(answer));
                }
                Begun::Another => {
                    let detail = "this Idempotency-Key stands for another request; send a new one";
                    return Err(ShopError::Refused(Problem::new(Code::Conflict, detail)));
                }
            }
        }
        Ok(Opened::Begun(Operation {
            customer: buyer.entry.name.to_string(),
            number: buyer.entry.number,
            endpoint: endpoint(order),
            client_key: buyer.key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            row,
            attempt,
            goes_on,
        }))
    }

    /// Keeps the answer for whoever asks again.
    pub(super) async fn close(&self, operation: &Operation, answer: Value) -> Result<Value, ShopError> {
        if let Some(row) = operation.row {
            self.store.answer_operation(operation.number, row, answer.to_string()).await?;
        }
        Ok(answer)
    }

    /// Answers the error itself. What was refused before it had an effect is as if it had never been asked.
    pub(super) async fn fail(&self, operation: &Operation, error: ShopError) -> ShopError {
        let Some(row) = operation.row else { return error };
        let noted = if error.wants_another_key() {
            self.store.next_attempt(operation.number, row).await
        } else if matches!(error, ShopError::Refused(_)) && !operation.goes_on {
            self.store.forget_operation(operation.number, row).await
        } else {
            Ok(())
        };
        noted.map_or_else(ShopError::from, |()| error)
    }
}

fn endpoint(order: &Order) -> &'static str {
    match order {
        Order::Checkout { .. } => "checkout",
        Order::Subscribe { .. } => "subscribe",
        Order::Change { .. } => "upgrade",
        Order::Cancel { .. } => "cancel",
        Order::Resume => "resume",
        Order::Portal { .. } => "portal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_for_stripe_is_named_by_its_digest() {
        let key = |name: &str| stripe_key(name).map(|key| key.as_str().to_owned()).expect("a key");
        assert_eq!(key("acme:checkout.session.0:k"), "acme:checkout.session.0:k");
        let (long, longer) = ("a".repeat(256), "a".repeat(257));
        assert_eq!(key(&long).len(), 64);
        assert_ne!(key(&long), key(&longer));
    }
}
