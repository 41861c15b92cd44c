//! Who is calling: bearer tokens (JWT) and API keys become identities.
//!
//! What holds here:
//! - Nobody is identified without a signature by a configured or published key, over the whole token.
//! - The algorithm is the key's and the allow-list's. A token's header only picks one that both contain, so no
//!   token can turn a public key into a secret or switch signatures off.
//! - Keys and URLs named by a token are ignored, critical extensions refused.
//! - A token is remembered at most for `cache_ttl`, never past `exp`, and not after its key left the JWKS.
//! - Who fails too often is refused unread, by the address they come from.
//! - No input panics, and no token, key or claim appears in a log or an error.
//!
//! A request's way: `credential.rs` finds the one token or key; of keys [`keys`] tells. For tokens
//! [`Authenticator::remembered`] answers for most of them, else
//! [`Authenticator::verify`] takes it apart (`encoded.rs`), reads the header (`header.rs`), picks the key (`keyset.rs`,
//! kept fresh by `jwks.rs`), checks the signature (`key.rs`, ring through `provider.rs`), reads the claims (`claim.rs`)
//! and checks them (`claims.rs`), and remembers the token (`cache.rs`).

mod algorithm;
mod authenticator;
mod bearer;
mod cache;
mod claim;
mod claim_path;
mod claims;
mod credential;
mod der;
mod encoded;
mod error;
mod failures;
mod fetch;
mod header;
mod jwks;
mod key;
pub mod keys;
mod keyset;
mod pem;
mod provider;
mod scopes;
mod settings;
mod sign;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use http::HeaderValue;

pub use algorithm::{Algorithm, AlgorithmError, parse_algorithm};
pub use authenticator::Authenticator;
pub use claim_path::{ClaimPath, EmptyClaimPath};
pub use credential::AcceptedKeys;
pub use error::{AuthError, Reason, SetupError};
pub use fetch::{FetchError, Published, published};
pub use pem::{KeyError, check_pem};
pub use scopes::Scopes;
pub use settings::{KeySource, Settings};
pub use sign::{NotSymmetric, sign_hs};

/// Longer tokens are refused unread.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Who a verified token, or a key, speaks for; or somebody anonymous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who pays.
    pub customer: Arc<str>,
    /// The same, as a header shows it.
    pub customer_header: HeaderValue,
    /// Who calls for the customer, when tokens say so; or the key.
    pub member: Option<Arc<str>>,
    /// The customer's Stripe id, when tokens carry it.
    pub stripe_customer: Option<Arc<str>>,
    pub scopes: Scopes,
    pub source: Source,
    /// The customer's number and the one under which the member is recorded for them; filled in by whoever records,
    /// once per verified token.
    pub member_number: OnceLock<(u32, u32)>,
}

impl Identity {
    /// Somebody whom a client's certificate names; none where the name could stand in no token.
    pub fn certified(customer: &str) -> Option<Self> {
        Self::named(customer, Scopes::All, Source::Certificate).filter(|_| claims::is_name(customer))
    }

    /// A known customer, whom a session of our own pages was made for; an API key's may be called as no token can spell.
    /// None: no header can hold the name.
    pub fn visitor(customer: &str) -> Option<Self> {
        Self::named(customer, Scopes::All, Source::Session)
    }

    /// Somebody who shows nothing, and may do nothing that asks for a scope. None: no header can hold the name.
    pub fn anonymous(customer: &str) -> Option<Arc<Self>> {
        Self::named(customer, Scopes::Only(Box::default()), Source::Nothing).map(Arc::new)
    }

    fn named(customer: &str, scopes: Scopes, source: Source) -> Option<Self> {
        Some(Self {
            customer: customer.into(),
            customer_header: HeaderValue::from_str(customer).ok()?,
            member: None,
            stripe_customer: None,
            scopes,
            source,
            member_number: OnceLock::new(),
        })
    }
}

/// What said who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Token,
    Key,
    Certificate,
    /// A page of ours, which calls for whom it was opened.
    Session,
    /// They are anonymous.
    Nothing,
}
