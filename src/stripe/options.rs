//! What a transport is made from, checked before anything is sent.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use stripe_client_core::VERSION;

use super::backoff::Backoff;
use super::secret::Secret;

/// Below Stripe's 100/s for an account.
const MAX_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(80).expect("not zero");
/// Below Stripe's 1000/s for meter events.
const METER_EVENTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(900).expect("not zero");

/// What a [`super::Transport`] is made from.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Scheme, host and port, without `/v1`.
    pub api_base: String,
    pub secret_key: Secret,
    /// Everything but meter events.
    pub max_requests_per_second: NonZeroU32,
    pub meter_events_per_second: NonZeroU32,
    pub connect_timeout: Duration,
    /// Of one attempt, from connecting to the body's end.
    pub timeout: Duration,
    /// Attempts of one of [`super::Transport::calls`], the first included.
    pub tries: u32,
    /// Between those attempts.
    pub backoff: Backoff,
}

impl TransportOptions {
    /// The documented defaults.
    #[must_use]
    pub fn new(api_base: impl Into<String>, secret_key: Secret) -> Self {
        Self {
            api_base: api_base.into(),
            secret_key,
            max_requests_per_second: MAX_REQUESTS_PER_SECOND,
            meter_events_per_second: METER_EVENTS_PER_SECOND,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            tries: 3,
            backoff: Backoff::WITHIN_CALL,
        }
    }
}

/// Why no [`super::Transport`] could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("stripe's api_base is not an http(s) URL of scheme, host and port alone")]
    Base,
    #[error("stripe's secret key is empty or holds characters that no key has")]
    Key,
    #[error("no http client")]
    Client(#[source] reqwest::Error),
}

pub(super) fn checked_base(base: &str) -> Result<reqwest::Url, TransportError> {
    let url: reqwest::Url = base.parse().map_err(|_| TransportError::Base)?;
    let alone = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    if alone && usable { Ok(url) } else { Err(TransportError::Base) }
}

pub(super) fn client(
    base: &reqwest::Url,
    options: &TransportOptions,
) -> Result<reqwest::Client, TransportError> {
    // An error says that another part of the process installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .default_headers(default_headers(&options.secret_key)?)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .tcp_keepalive(Duration::from_mins(1));
    if is_loopback(base) {
        builder = builder.no_proxy(); // a proxy from the environment cannot reach our loopback
    }
    builder.build().map_err(TransportError::Client)
}

/// The version of Stripe's API that every call names.
pub fn api_version() -> String {
    VERSION.as_str().to_owned()
}

fn default_headers(secret: &Secret) -> Result<HeaderMap, TransportError> {
    if secret.expose().is_empty() {
        return Err(TransportError::Key);
    }
    let bearer = format!("Bearer {}", secret.expose());
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| TransportError::Key)?;
    bearer.set_sensitive(true);
    let version = HeaderValue::from_str(&api_version()).expect("a version is a date and a name");
    Ok(HeaderMap::from_iter([
        (header::AUTHORIZATION, bearer),
        (HeaderName::from_static("stripe-version"), version),
    ]))
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
