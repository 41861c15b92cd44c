//! One HTTP request for the issuer's keys: no redirects, a size limit, a time limit.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use super::keyset::KeySet;
use super::{Algorithm, SetupError};

const MAX_BODY_BYTES: usize = 1024 * 1024;
/// From connecting to the body's last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

pub struct Fetcher {
    client: Client,
    url: Url,
}

/// What an issuer publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub keys: usize,
    /// Those that can verify tokens by the allowed algorithms.
    pub usable: usize,
}

/// Asks an issuer for its keys once, for somebody who looks after it.
pub async fn published(url: &str, allowed: &[Algorithm]) -> Result<Published, FetchError> {
    let document = Fetcher::new(url).map_err(|_| FetchError::Client)?.fetch().await?;
    let usable = KeySet::parse(&document, allowed)?.len();
    let all: Value = serde_json::from_slice(&document)?;
    Ok(Published { keys: all["keys"].as_array().map_or(0, Vec::len), usable })
}

/// Why the issuer's keys did not arrive. No text repeats the URL: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the URL cannot be asked for")]
    Client,
    #[error("the request failed: {0}")]
    Request(#[source] reqwest::Error),
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    #[error("the answer is not a JWKS: {0}")]
    Format(#[from] serde_json::Error),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

impl Fetcher {
    pub fn new(url: &str) -> Result<Self, SetupError> {
        let url = Url::parse(url).map_err(|_| SetupError::JwksUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SetupError::JwksUrl);
        }
        // An error only says that a provider is installed already: the same one, by `main`.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self { client, url })
    }

    /// The document at the URL.
    pub async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let request = self.client.get(self.url.clone());
        let mut response = request.header(ACCEPT, "application/json").send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if document.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}
