//! Problems: everything that can be answered instead of what was asked for, each once.
//!
//! Only here does an error become a status. The body is `application/problem+json` (RFC 9457); quota refusals use
//! the problem types of draft-ietf-httpapi-ratelimit-headers-10. Nothing internal is told.

use std::borrow::Cow;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Declares the codes: when each is answered, what is to be done then, its word, its status, its title.
macro_rules! codes {
    ($(#[doc = $when:literal] #[doc = $advice:literal] $code:ident $word:literal $status:literal $title:literal,)*) => {
        /// What went wrong, in one stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Code { $(#[doc = $when] #[doc = $advice] $code,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// Its place in [`Self::ALL`].
            pub fn index(self) -> usize {
                self as usize
            }

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $word,)* }
            }

            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// When it is answered, for the reference.
            pub fn when(self) -> &'static str {
                match self { $(Self::$code => $when,)* }.trim()
            }

            /// What whoever gets it can do, for the reference.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice,)* }.trim_start_matches(" → ")
            }
        }
    };
}

codes! {
    /// Path, query, header or body cannot be read, or mean more than one thing; the detail says which.
    /// → Mend the request; the same one is refused again.
    BadRequest "bad_request" 400 "The request is not valid",
    /// The route or endpoint wants a token or a key, and none was sent.
    /// → Send `Authorization: Bearer TOKEN`, or the API key.
    TokenMissing "token_missing" 401 "A token is required",
    /// Signature, issuer, audience, a claim or the key is not right; or the admin token is another one.
    /// → Get a new token from the issuer; a revoked key must be replaced.
    TokenInvalid "token_invalid" 401 "The token is not valid",
    /// The token's `exp` has passed, `auth.jwt.leeway` included.
    /// → Get a new token.
    TokenExpired "token_expired" 401 "The token has expired",
    /// The subscription is unpaid, or late beyond `billing.past_due_grace`.
    /// → Pay the open invoice: `/billing/portal` leads there.
    PaymentRequired "payment_required" 402 "Payment is required",
    /// The tier lives on credits, and they are used up.
    /// → Buy or grant credits; nothing was charged.
    CreditsExhausted "credits_exhausted" 402 "The credits are used up",
    /// The tier's `overage.cap` would be passed.
    /// → Wait for `reset_at`, or change to a tier with more.
    SpendCapReached "spend_cap_reached" 402 "The spend cap is reached",
    /// The route `requires` a feature that the tier has not.
    /// → Change the tier: see `/pricing`.
    FeatureNotIncluded "feature_not_included" 403 "The tier does not include this feature",
    /// The subscription is paused at Stripe.
    /// → Resume it.
    SubscriptionPaused "subscription_paused" 403 "The subscription is paused",
    /// An operator has blocked the customer.
    /// → Ask the operator; `POST /admin/customers/{id}/unblock` ends it.
    CustomerBlocked "customer_blocked" 403 "The customer is blocked",
    /// The route asks for a scope that the key or token has not; or a key with scopes was sent to `/billing`.
    /// → Use a key or token with the scope.
    ScopeMissing "scope_missing" 403 "The key or token may not do this",
    /// No route matches the path, and there is no `[routes_default]`.
    /// → Check the path; `/pricing` lists all routes.
    RouteNotFound "route_not_found" 404 "There is no such route",
    /// One of Tollgate's own endpoints, or what it should show, is not there.
    /// → Check path and id.
    NotFound "not_found" 404 "There is no such resource",
    /// The route or endpoint does not take the method.
    /// → Use one that `Allow` names.
    MethodNotAllowed "method_not_allowed" 405 "The method is not allowed here",
    /// Header or body did not come within `server.header_timeout`, `body_timeout` or at `min_body_rate`.
    /// → Send it again, faster.
    RequestTimeout "request_timeout" 408 "The request did not come in time",
    /// A subscription is live, so another one cannot be bought.
    /// → Change it with `/billing/upgrade`.
    AlreadySubscribed "already_subscribed" 409 "There is a subscription already",
    /// What is asked for does not fit what is so now; the detail says what.
    /// → Look at the state, then ask for something else.
    Conflict "conflict" 409 "The request does not fit the current state",
    /// The body is larger than `server.max_body`, or the route's.
    /// → Send less.
    BodyTooLarge "body_too_large" 413 "The body is too large",
    /// A body of one of Tollgate's own endpoints is not JSON.
    /// → Send `Content-Type: application/json`.
    UnsupportedMediaType "unsupported_media_type" 415 "The media type is not supported",
    /// The body can be read, but a value in it cannot be used; the detail names it.
    /// → Mend that value.
    Unprocessable "unprocessable" 422 "The request cannot be carried out",
    /// Path and query are longer than `server.max_uri`.
    /// → Send less in the query.
    UriTooLong "uri_too_long" 414 "The URI is too long",
    /// A rate is passed: the tier's, a route's, a member's, an endpoint's, or of failed authentications.
    /// → Wait for `Retry-After`.
    RateLimited "rate_limited" 429 "Too many requests",
    /// The included units of the period are used up, and overage is denied.
    /// → Wait for `reset_at`, or change the tier: `upgrade_url`.
    QuotaExceeded "quota_exceeded" 429 "The quota is used up",
    /// More headers than `server.max_headers`, or longer ones than `max_header_bytes`.
    /// → Send less.
    HeadersTooLarge "headers_too_large" 431 "The headers are too large",
    /// Something in Tollgate failed; its log has the request id.
    /// → Try again; tell the operator.
    Internal "internal" 500 "Something went wrong here",
    /// The API could not be reached, or broke off before it answered; or Stripe refused an order.
    /// → Try again if the request may be repeated; nothing was charged.
    UpstreamFailed "upstream_failed" 502 "The upstream failed",
    /// Stripe cannot be reached, and what was asked needs it.
    /// → Try again under the same `Idempotency-Key`.
    StripeUnavailable "stripe_unavailable" 503 "The payment provider cannot be reached now",
    /// The issuer's keys cannot be fetched, so no token can be checked.
    /// → Try again; the operator looks at `auth.jwt.jwks_url`.
    AuthUnavailable "auth_unavailable" 503 "Tokens cannot be checked now",
    /// Redis is away, and what this gateway may admit alone is used up.
    /// → Try again after `Retry-After`.
    FleetUnavailable "fleet_unavailable" 503 "The fleet cannot decide now",
    /// Usage cannot be written down, so nothing that is charged is served.
    /// → Try again; the operator looks at the disk.
    LedgerUnavailable "ledger_unavailable" 503 "Usage cannot be recorded now",
    /// The gateway is shutting down, or another process has taken its place.
    /// → Connect again.
    Draining "draining" 503 "The gateway is shutting down",
    /// The API did not answer within the upstream's or the route's timeouts.
    /// → Try again if the request may be repeated; nothing was charged.
    UpstreamTimeout "upstream_timeout" 504 "The upstream did not answer in time",
}

/// One error answer. [`Problem::new`] fills in what its code implies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub code: Code,
    /// A sentence that says what to do.
    pub detail: Cow<'static, str>,
    /// Names of the policies that refused.
    pub violated_policies: Vec<String>,
    /// RFC 3339: when the limit is renewed.
    pub reset_at: Option<String>,
    pub upgrade_url: Option<String>,
    /// Seconds, where waiting helps.
    pub retry_after: Option<u64>,
    /// Methods, for `method_not_allowed`.
    pub allow: Option<String>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            violated_policies: Vec::new(),
            reset_at: None,
            upgrade_url: None,
            // Every 503 passes: the client may come back.
            retry_after: (code.status() == 503).then_some(1),
            allow: None,
        }
    }

    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The status that a client of gRPC is told.
    pub fn grpc_status(&self) -> u8 {
        match self.status() {
            400 | 414 | 415 | 422 => 3, // INVALID_ARGUMENT
            401 => 16,                  // UNAUTHENTICATED
            402 | 413 | 429 | 431 => 8, // RESOURCE_EXHAUSTED
            403 => 7,                   // PERMISSION_DENIED
            404 | 405 => 12,            // UNIMPLEMENTED
            408 | 504 => 4,             // DEADLINE_EXCEEDED
            409 => 10,                  // ABORTED
            502 | 503 => 14,            // UNAVAILABLE
            _ => 13,                    // INTERNAL
        }
    }

    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The value of `WWW-Authenticate` (RFC 6750 section 3), for 401s and where a scope is missing.
    pub fn www_authenticate(&self) -> Option<&'static str> {
        match self.code {
            Code::TokenMissing => Some(r#"Bearer realm="api""#),
            Code::TokenInvalid => Some(r#"Bearer realm="api", error="invalid_token""#),
            Code::TokenExpired => Some(
                r#"Bearer realm="api", error="invalid_token", error_description="the token has expired""#,
            ),
            Code::ScopeMissing => Some(r#"Bearer realm="api", error="insufficient_scope""#),
            _ => None,
        }
    }

    /// The body.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
        put("type", json!(self.type_uri()));
        put("title", json!(self.code.title()));
        put("status", json!(self.status()));
        put("detail", json!(self.detail));
        put("code", json!(self.code.as_str()));
        put("request_id", json!(request_id));
        if !self.violated_policies.is_empty() {
            put("violated-policies", json!(self.violated_policies));
        }
        if let Some(reset_at) = &self.reset_at {
            put("reset_at", json!(reset_at));
        }
        if let Some(upgrade_url) = &self.upgrade_url {
            put("upgrade_url", json!(upgrade_url));
        }
        Value::Object(body).to_string().into_bytes()
    }

    fn type_uri(&self) -> &'static str {
        match self.code {
            Code::RateLimited | Code::QuotaExceeded => {
                "https://iana.org/assignments/http-problem-types#quota-exceeded"
            }
            Code::FleetUnavailable => {
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
            }
            _ => "about:blank",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_knows_its_place_in_the_list() {
        assert!(Code::ALL.iter().enumerate().all(|(at, code)| code.index() == at));
    }

    #[test]
    fn only_our_own_faults_are_internal_to_grpc() {
        let internal = Code::ALL.iter().filter(|code| Problem::new(**code, "").grpc_status() == 13);
        assert_eq!(internal.map(|code| code.as_str()).collect::<Vec<_>>(), ["internal"]);
        let status = |code| Problem::new(code, "").grpc_status();
        assert_eq!((status(Code::TokenMissing), status(Code::QuotaExceeded)), (16, 8));
        assert_eq!((status(Code::FeatureNotIncluded), status(Code::UpstreamFailed)), (7, 14));
    }
}
