//! How a call to Stripe fails, and what that says about trying again.
//!
//! Three questions, three answers: did Stripe answer at all ([`CallError::is_unreachable`]); can waiting cure
//! it ([`CallError::is_transient`], for callers with durable state); is another attempt at once worthwhile
//! ([`CallError::deserves_retry`], which also obeys `Stripe-Should-Retry`).

use std::fmt;

/// Why a call to Stripe did not succeed. No variant holds the secret key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, a broken one, or a timeout: whether Stripe acted is unknown.
    #[error("no answer from stripe: {reason}")]
    Unreachable {
        reason: String,
        /// No connection came about: nothing was sent.
        unsent: bool,
    },
    /// The circuit breaker is open: nothing was sent.
    #[error("stripe has not been answering: nothing sent, next probe due shortly")]
    CircuitOpen,
    /// Stripe, or something on the way to it, answered with an error status.
    #[error(transparent)]
    Status(Box<StatusError>),
    /// A success whose body is not what was asked for.
    #[error("stripe's answer cannot be read: {reason}")]
    Unreadable { reason: String },
    /// The request itself cannot be sent, whatever Stripe's state.
    #[error("this request cannot be sent: {reason}")]
    Unsendable { reason: String },
}

/// An error status, with what the body and the headers tell about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusError {
    pub status: u16,
    /// `error.type`; none when the body is not Stripe's, such as a proxy's HTML page.
    pub kind: Option<String>,
    /// `error.code`.
    pub code: Option<String>,
    /// `error.message`, for operators.
    pub message: Option<String>,
    /// `error.param`.
    pub param: Option<String>,
    /// `Request-Id`: what Stripe's support asks for.
    pub request_id: Option<String>,
    /// `Stripe-Should-Retry`.
    pub should_retry: Option<bool>,
    /// `Stripe-Rate-Limited-Reason`.
    pub rate_limited_reason: Option<String>,
    /// `Idempotent-Replayed`: a stored answer to an earlier try with this key.
    pub replayed: bool,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stripe answered {}", self.status)?;
        for part in [&self.kind, &self.code, &self.rate_limited_reason].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request {request_id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for StatusError {}

impl CallError {
    /// No answer came, so nothing is known about Stripe's side.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::CircuitOpen)
    }

    /// Nothing left this machine.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable { unsent: true, .. } | Self::CircuitOpen)
    }

    /// Waiting can cure it: network errors, the open circuit, 5xx, 429 and the other statuses of a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::CircuitOpen => true,
            Self::Status(error) => error.is_transient(),
            Self::Unreadable { .. } | Self::Unsendable { .. } => false,
        }
    }

    /// Another attempt with the same request at once (after a pause) is worthwhile.
    pub fn deserves_retry(&self) -> bool {
        match self {
            Self::Status(error) => error.should_retry.unwrap_or_else(|| error.is_transient()),
            Self::Unreachable { .. } => true,
            Self::CircuitOpen | Self::Unreadable { .. } | Self::Unsendable { .. } => false,
        }
    }

    /// A stored answer to an earlier try: under its key Stripe says nothing else for a day.
    pub fn is_replayed(&self) -> bool {
        matches!(self, Self::Status(error) if error.replayed)
    }

    /// Stripe says that the object does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Status(error) if error.is_missing())
    }

    /// The secret key is wrong, rolled, or lacks a permission: an operator must act, nothing else helps.
    pub fn is_key_problem(&self) -> bool {
        matches!(self, Self::Status(error) if matches!(error.status, 401 | 403))
    }
}

impl StatusError {
    pub fn is_transient(&self) -> bool {
        // 408 and 425: proxies on the way. 409: a lock or a twin in flight. 424: something behind Stripe.
        matches!(self.status, 408 | 409 | 424 | 425 | 429 | 500..)
    }

    /// The error came from Stripe itself, not from a proxy before it.
    pub fn is_from_stripe(&self) -> bool {
        self.kind.is_some()
    }

    fn is_missing(&self) -> bool {
        // A key of the wrong mode finds nothing either, but that says nothing about the object.
        let wrong_mode = self.message.as_deref().is_some_and(|m| m.contains("similar object exists in"));
        let missing =
            self.code.as_deref() == Some("resource_missing") || (self.status == 404 && self.is_from_stripe());
        missing && !wrong_mode
    }
}

impl stripe_client_core::StripeClientErr for CallError {
    fn deserialize_err(msg: impl fmt::Display) -> Self {
        Self::Unreadable { reason: msg.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, should_retry: Option<bool>) -> CallError {
        CallError::Status(Box::new(StatusError { status, should_retry, ..StatusError::default() }))
    }

    #[test]
    fn statuses_of_a_moment_are_transient_and_the_others_are_not() {
        for code in [408, 409, 424, 425, 429, 500, 502, 503, 599] {
            assert!(status(code, None).is_transient(), "{code}");
        }
        for code in [301, 400, 401, 402, 403, 404, 410, 422] {
            assert!(!status(code, None).is_transient(), "{code}");
        }
    }

    #[test]
    fn stripes_word_on_retries_beats_the_status() {
        assert!(!status(503, Some(false)).deserves_retry());
        assert!(status(400, Some(true)).deserves_retry());
        assert!(status(503, None).deserves_retry());
        assert!(!status(400, None).deserves_retry());
    }

    #[test]
    fn an_object_of_the_other_mode_is_not_missing() {
        let of = |message: &str| {
            CallError::Status(Box::new(StatusError {
                status: 404,
                kind: Some("invalid_request_error".into()),
                code: Some("resource_missing".into()),
                message: Some(message.into()),
                ..StatusError::default()
            }))
        };
        assert!(of("No such customer: 'cus_1'").is_missing());
        assert!(
            !of("No such customer: 'cus_1'; a similar object exists in live mode, but a test mode key was used")
                .is_missing()
        );
    }

    #[test]
    fn a_proxys_404_is_not_a_missing_object() {
        assert!(!status(404, None).is_missing());
    }
}
