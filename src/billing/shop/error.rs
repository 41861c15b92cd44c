//! Why an order was not carried out, and what the customer is told of it.

use crate::billing::apply::ApplyError;
use crate::problem::{Code, Problem};
use crate::store::StoreError;
use crate::stripe::{CallError, StatusError};

#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// Before anything was asked of Stripe that it remembers.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// Under a key that Stripe keeps the refusal for.
    #[error("{}", .0.detail)]
    RefusedByStripe(Problem),
    #[error(transparent)]
    Stripe(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("stripe did not answer in time")]
    Late,
    #[error("what was answered before cannot be read")]
    Unreadable,
}

impl From<ApplyError> for ShopError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Stripe(error) => Self::Stripe(error),
            ApplyError::Store(error) => Self::Store(error),
        }
    }
}

impl ShopError {
    /// Under the same key Stripe would only say it again: it keeps what it has answered, a refusal for good above all,
    /// which had no effect.
    pub(super) fn wants_another_key(&self) -> bool {
        match self {
            Self::RefusedByStripe(_) => true,
            Self::Stripe(CallError::Status(error)) => {
                error.is_from_stripe() && (error.replayed || !error.is_transient())
            }
            _ => false,
        }
    }

    /// In words for the customer. What is not theirs to know is logged.
    pub fn problem(self) -> Problem {
        match self {
            Self::Refused(problem) | Self::RefusedByStripe(problem) => problem,
            Self::Stripe(error) => of_call(&error),
            Self::Store(_) | Self::Unreadable => {
                tracing::error!(error = %self, "an order failed");
                Problem::new(
                    Code::Internal,
                    "something went wrong here; try again with the same Idempotency-Key",
                )
            }
            Self::Late => unavailable(),
        }
    }
}

fn unavailable() -> Problem {
    let detail = "the payment provider does not answer now; try again with the same Idempotency-Key";
    Problem { retry_after: Some(5), ..Problem::new(Code::StripeUnavailable, detail) }
}

fn of_call(error: &CallError) -> Problem {
    match error {
        CallError::Status(status) if status.status == 402 => declined(status),
        _ if error.is_key_problem() => {
            tracing::error!(%error, "stripe does not take the secret key: nobody can buy");
            unavailable()
        }
        CallError::Status(status) if !status.is_transient() && !is_about_the_key(status) => {
            tracing::error!(%error, "stripe refused an order");
            let detail = "the payment provider refused this; the operator's log says why";
            Problem::new(Code::UpstreamFailed, detail)
        }
        CallError::Unsendable { .. } => {
            tracing::error!(%error, "an order could not be sent");
            Problem::new(Code::Internal, "something went wrong here")
        }
        _ => {
            tracing::warn!(%error, "an order waits for stripe");
            unavailable()
        }
    }
}

/// The next try is sent under another key.
fn is_about_the_key(error: &StatusError) -> bool {
    error.kind.as_deref() == Some("idempotency_error")
}

/// What Stripe says of a card is for its owner.
fn declined(error: &StatusError) -> Problem {
    let said = error.message.clone().unwrap_or_else(|| "the card was declined".to_owned());
    Problem::new(Code::PaymentRequired, format!("{said} Nothing was bought; try another payment method."))
}
