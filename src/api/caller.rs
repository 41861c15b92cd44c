//! Who calls: the customer of the verified token, or of the client's certificate.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::auth::{Identity, Scopes, Source};
use crate::clock;
use crate::customers::Entry;
use crate::domain::usage::Now;
use crate::problem::{Code, Problem};

use super::{Failed, Public};

/// The calling customer, and when they call. Each call counts towards the endpoint's rate, before its body is read.
pub(super) struct Caller {
    pub entry: Arc<Entry>,
    pub now: Now,
}

impl FromRequestParts<Public> for Caller {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, public: &Public) -> Result<Self, Failed> {
        let now = clock::now();
        // Only the gateway and our own pages can put it there.
        let identity = if let Some(named) = parts.extensions.get::<Arc<Identity>>() {
            named.clone()
        } else {
            let client = parts.extensions.get::<IpAddr>().copied();
            let identified = public.authenticator.identify(&parts.headers, now.seconds(), || client).await;
            identified.map_err(Problem::from)?
        };
        if identity.source == Source::Key && identity.scopes != Scopes::All {
            let detail = "a key that is bound to scopes is for the API alone: send one without, or a token";
            return Err(Problem::new(Code::ScopeMissing, detail).into());
        }
        let claimed = identity.stripe_customer.as_deref();
        let entry = public.customers.load(&identity.customer, claimed, now).await?;
        public.billing.limits.spend(entry.number, parts)?;
        Ok(Self { entry, now })
    }
}
