//! An answer that refuses, in Stripe's shape.
//!
//! Stripe remembers an error under the request's `Idempotency-Key` only if the endpoint had begun to
//! execute. So every error says whether it is a finding about the parameters alone (not kept) or about
//! the account's objects (kept and replayed).

use serde_json::{Value, json};

use super::faults::{Code, Refusal};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub status: u16,
    pub kind: &'static str,
    pub code: Option<&'static str>,
    pub message: String,
    pub param: Option<String>,
    /// `Stripe-Should-Retry`, where Stripe sends one.
    pub should_retry: Option<bool>,
    /// `Stripe-Rate-Limited-Reason`, where Stripe sends one.
    pub limited_by: Option<&'static str>,
    /// Whether the idempotency layer keeps this answer.
    pub kept: bool,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code,
            message: message.into(),
            param: None,
            should_retry: None,
            limited_by: None,
            kept: false,
        }
    }

    fn invalid(status: u16, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", code, message)
    }

    /// A parameter is malformed.
    pub fn parameter(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(400, Some(code), message).about(param)
    }

    /// A required parameter is absent.
    pub fn parameter_missing(param: &str) -> Self {
        let message = format!("Missing required param: {param}.");
        Self::parameter(param, "parameter_missing", message)
    }

    /// The account's state does not allow this.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::invalid(400, None, message).kept()
    }

    /// A parameter names an object that does not exist.
    pub fn no_such_reference(noun: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {noun}: '{id}'");
        Self::invalid(400, Some("resource_missing"), message).about(param).kept()
    }

    /// What the request needs is not there.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::invalid(400, Some("resource_missing"), message).kept()
    }

    /// The bank refused the card.
    pub fn card_declined() -> Self {
        Self::new(402, "card_error", Some("card_declined"), "Your card was declined.").kept()
    }

    pub fn is_decline(&self) -> bool {
        self.kind == "card_error"
    }

    /// The path names an object that does not exist.
    pub fn not_found(noun: &str, id: &str) -> Self {
        let message = format!("No such {noun}: '{id}'");
        Self::invalid(404, Some("resource_missing"), message).about("id").kept()
    }

    pub fn unknown_url(method: &str, path: &str) -> Self {
        Self::invalid(404, None, format!("Unrecognized request URL ({method}: {path})."))
    }

    pub fn unauthorized() -> Self {
        let message = "Invalid API Key provided: send a key that starts with sk_ as a Bearer token.";
        Self::invalid(401, None, message)
    }

    pub fn rate_limited() -> Self {
        let mut error = Self::invalid(429, Some("rate_limit"), "Request rate limit exceeded.");
        error.limited_by = Some("global-rate");
        error
    }

    /// Another request holds the object.
    pub fn lock_timeout() -> Self {
        let message = "This object cannot be accessed right now because another API request \
                       or Stripe process is currently accessing it.";
        Self::invalid(429, Some("lock_timeout"), message)
    }

    pub fn key_in_use(key: &str) -> Self {
        let message =
            format!("There is currently another in-progress request using this Idempotent Key: {key}.");
        Self::new(409, "idempotency_error", Some("idempotency_key_in_use"), message)
    }

    pub fn key_reused(key: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were \
             first used with. Try using a key other than '{key}' if you meant to execute a \
             different request."
        );
        Self::new(400, "idempotency_error", None, message)
    }

    /// What an injected fault answers.
    pub fn injected(refusal: Refusal) -> Self {
        let Refusal { status, code, should_retry, kept } = refusal;
        let error = match (code, status) {
            (Some(Code::LockTimeout), _) => Self::lock_timeout(),
            (Some(Code::IdempotencyKeyInUse), _) => Self::key_in_use("of this request"),
            (None, 429) => Self::rate_limited(),
            (None, 400..=499) => Self::invalid(status, None, "Injected by the sandbox."),
            (None, _) => Self::new(status, "api_error", None, "Injected by the sandbox."),
        };
        Self { status, should_retry: should_retry.or(error.should_retry), kept, ..error }
    }

    #[must_use]
    pub fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    #[must_use]
    pub fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    #[must_use]
    pub fn never_retry(mut self) -> Self {
        self.should_retry = Some(false);
        self
    }

    pub fn json(&self) -> Value {
        let mut error = json!({"type": self.kind, "message": self.message});
        if let Some(code) = self.code {
            error["code"] = json!(code);
        }
        if self.kind == "card_error" {
            error["decline_code"] = json!("generic_decline");
        }
        if let Some(param) = &self.param {
            error["param"] = json!(param);
        }
        json!({ "error": error })
    }
}
