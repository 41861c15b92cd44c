//! Reading what came back: a success with its body, or an error that keeps its status whatever its body is.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::error::{CallError, StatusError};
use super::loose;
use super::secret::Secret;

/// No answer of Stripe's is nearly as long: a page of 100 expanded subscriptions is about 1 MiB.
const LONGEST_BODY: usize = 16 << 20;
/// As much of an error's message as operators are shown.
const LONGEST_MESSAGE: usize = 500;

/// A success. `Debug` leaves out the body, which holds customers' data.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// `Request-Id`.
    pub request_id: Option<String>,
    /// `Idempotent-Replayed`: the stored answer to an earlier try with this key.
    pub replayed: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("replayed", &self.replayed)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`CallError::Unreadable`] when it is none.
    pub fn json(&self) -> Result<Value, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| CallError::Unreadable { reason: format!("status {}, but {error}", self.status) })
    }
}

/// Reads a response to its end, so that its connection can be used again.
///
/// # Errors
/// Every status but 2xx; an answer that breaks off or is too long.
pub(super) async fn read(response: reqwest::Response, secret: &Secret) -> Result<Answer, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = body(response).await;
    if status.is_success() {
        return Ok(Answer {
            status: status.as_u16(),
            body: body?,
            request_id: header(&headers, "request-id"),
            replayed: header(&headers, "idempotent-replayed").as_deref() == Some("true"),
        });
    }
    // An error's status stands, even if its body broke off.
    let body = body.unwrap_or_default();
    Err(CallError::Status(Box::new(status_error(status, &headers, &body, secret))))
}

/// A network error in words, without its URL, which may name customers.
pub(super) fn unreachable(error: reqwest::Error) -> CallError {
    let unsent = error.is_connect();
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    CallError::Unreachable { reason, unsent }
}

async fn body(mut response: reqwest::Response) -> Result<Bytes, CallError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(CallError::Unreadable { reason: format!("longer than {LONGEST_BODY} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8], secret: &Secret) -> StatusError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    StatusError {
        status: status.as_u16(),
        kind: loose::text(&body, "/error/type"),
        code: loose::text(&body, "/error/code"),
        message: loose::text(&body, "/error/message")
            .map(|message| loose::cut(&secret.redact(&message), LONGEST_MESSAGE)),
        param: loose::text(&body, "/error/param"),
        request_id: header(headers, "request-id"),
        should_retry: match header(headers, "stripe-should-retry").as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        },
        rate_limited_reason: header(headers, "stripe-rate-limited-reason"),
        replayed: header(headers, "idempotent-replayed").as_deref() == Some("true"),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
