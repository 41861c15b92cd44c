//! Why a caller is not who it says it is, and the problem that it is answered with.

use std::sync::LazyLock;

use crate::metrics::METRICS;
use crate::metrics::hot::HotCounter;
use crate::problem::{Code, Problem};

/// A failed check of a request's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header, or one of another scheme.
    #[error("no bearer token")]
    Missing,
    /// More than one `Authorization` header; which one counts would be a guess.
    #[error("more than one authorization header")]
    Duplicate,
    #[error("invalid token: {0}")]
    Invalid(Reason),
    #[error("the token has expired")]
    Expired,
    /// A token and a key, or several keys; which one counts would be a guess.
    #[error("more than one credential")]
    Several,
    /// Never made, or revoked.
    #[error("this API key is not known")]
    KeyUnknown,
    #[error("this API key has expired")]
    KeyExpired,
    /// Of the address that the request comes from.
    #[error("too many failed authentications")]
    TooMany { seconds: u64 },
    /// The issuer's keys have not been fetched yet, or it publishes none that can be used.
    #[error("no key of the issuer is known yet")]
    Unavailable,
}

/// Failed checks as `auth_total` tells them apart.
struct Failures {
    missing: HotCounter,
    invalid: HotCounter,
    expired: HotCounter,
    unavailable: HotCounter,
    too_many: HotCounter,
}

static FAILURES: LazyLock<Failures> = LazyLock::new(|| {
    let result = |name: &str| METRICS.auth.with_label_values(&[name]);
    Failures {
        missing: result("token_missing"),
        invalid: result("token_invalid"),
        expired: result("token_expired"),
        unavailable: result("auth_unavailable"),
        too_many: result("rate_limited"),
    }
});

impl AuthError {
    /// Somebody has shown what does not hold. What nobody shows, or nobody can check, is no failure of theirs.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Expired | Self::KeyUnknown | Self::KeyExpired)
    }

    /// Counts a check that ended with this error.
    pub(super) fn count(self) {
        let failures = &*FAILURES;
        let counter = match self {
            Self::Missing => &failures.missing,
            Self::Duplicate | Self::Several | Self::Invalid(_) | Self::KeyUnknown => &failures.invalid,
            Self::Expired | Self::KeyExpired => &failures.expired,
            Self::Unavailable => &failures.unavailable,
            Self::TooMany { .. } => &failures.too_many,
        };
        counter.inc();
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Missing => Code::TokenMissing,
            AuthError::Duplicate | AuthError::Several => Code::BadRequest,
            AuthError::Invalid(_) | AuthError::KeyUnknown => Code::TokenInvalid,
            AuthError::Expired | AuthError::KeyExpired => Code::TokenExpired,
            AuthError::Unavailable => Code::AuthUnavailable,
            AuthError::TooMany { .. } => Code::RateLimited,
        };
        let advice = match error {
            AuthError::Missing => "send yours as \"Authorization: Bearer TOKEN\"",
            AuthError::Duplicate => "send one Authorization header",
            AuthError::Several => "send one token, or one API key",
            AuthError::KeyUnknown | AuthError::KeyExpired => "get a new key from whoever runs this API",
            AuthError::Invalid(_) | AuthError::Expired => "get a new token from your issuer",
            AuthError::Unavailable => "try again shortly",
            AuthError::TooMany { .. } => "come back later, with a token or key that is valid",
        };
        let problem = Self::new(code, format!("{error}; {advice}"));
        match error {
            AuthError::TooMany { seconds } => Self { retry_after: Some(seconds.max(1)), ..problem },
            _ => problem,
        }
    }
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

/// What is wrong with a token. The texts are safe to show: they say nothing about keys or claims' values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("it is longer than 16 KiB")]
    TooLong,
    #[error("it is not a well-formed signed JWT")]
    Malformed,
    #[error("its algorithm is not allowed")]
    Algorithm,
    #[error("its header names critical extensions, and none is supported")]
    Critical,
    #[error("its type is not that of an access token")]
    Type,
    #[error("no key of the issuer fits it")]
    UnknownKey,
    #[error("its signature does not match")]
    Signature,
    #[error("it has no valid exp claim")]
    Expiry,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it names no valid customer")]
    Customer,
    #[error("it names no valid member")]
    Member,
    #[error("its Stripe customer is malformed")]
    StripeCustomer,
    #[error("its scopes are neither a text nor a list of texts")]
    Scopes,
}

/// Why an [`Authenticator`](super::Authenticator) cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Key(#[from] super::KeyError),
    #[error("the JWKS URL is not an http or https URL")]
    JwksUrl,
    #[error("no HTTP client for the JWKS: {0}")]
    Client(#[source] reqwest::Error),
}
