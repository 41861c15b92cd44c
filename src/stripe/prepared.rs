//! A typed request of async-stripe, checked and ready to be sent as often as needed, the same bytes each time.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use stripe_client_core::{IdempotencyKey, RequestBuilder, StripeMethod};

use super::error::CallError;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const STRIPE_ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");

/// One request; each attempt sends a copy of it.
pub(super) struct Prepared {
    method: Method,
    url: reqwest::Url,
    body: Option<String>,
    idempotency_key: Option<HeaderValue>,
    account: Option<HeaderValue>,
    timeout: Option<Duration>,
}

impl Prepared {
    /// # Errors
    /// [`CallError::Unsendable`] when path or idempotency key cannot be what was meant.
    pub(super) fn new(
        base: &str,
        request: RequestBuilder,
        key: Option<&IdempotencyKey>,
    ) -> Result<Self, CallError> {
        let RequestBuilder { query, body, path, method } = request;
        if !is_plain(&path) {
            return Err(unsendable("an id in its path is not one of Stripe's"));
        }
        let query = query.filter(|query| !query.is_empty()).map(|query| format!("?{query}"));
        let url = format!("{base}/v1{path}{}", query.unwrap_or_default());
        Ok(Self {
            method: match method {
                StripeMethod::Get => Method::GET,
                StripeMethod::Post => Method::POST,
                StripeMethod::Delete => Method::DELETE,
            },
            url: url.parse().map_err(|_| unsendable("its address is not a URL"))?,
            body,
            idempotency_key: key.map(|key| header_value(key.as_str())).transpose()?,
            account: None,
            timeout: None,
        })
    }

    /// A GET below `/v2`, which async-stripe does not know.
    pub(super) fn get_v2(base: &str, path: &str) -> Result<Self, CallError> {
        if !is_plain(path) {
            return Err(unsendable("an id in its path is not one of Stripe's"));
        }
        Ok(Self {
            method: Method::GET,
            url: format!("{base}/v2{path}").parse().map_err(|_| unsendable("its address is not a URL"))?,
            body: None,
            idempotency_key: None,
            account: None,
            timeout: None,
        })
    }

    /// Acts for a connected account.
    pub(super) fn for_account(mut self, account: Option<&str>) -> Result<Self, CallError> {
        self.account = account.map(header_value).transpose()?;
        Ok(self)
    }

    /// A timeout per attempt other than the transport's.
    pub(super) fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// The request of one attempt.
    pub(super) fn attempt(&self, client: &reqwest::Client) -> reqwest::RequestBuilder {
        let mut request = client.request(self.method.clone(), self.url.clone());
        if let Some(key) = &self.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key.clone());
        }
        if let Some(account) = &self.account {
            request = request.header(STRIPE_ACCOUNT, account.clone());
        }
        if let Some(body) = &self.body {
            request =
                request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.clone());
        }
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        request
    }
}

/// Ids become part of a path as they are: one with a slash, a dot or a question mark, or an empty one, would
/// reach another endpoint.
fn is_plain(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|path| {
        path.split('/').all(|segment| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        })
    })
}

fn header_value(text: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::from_str(text).map_err(|_| unsendable("a header of it holds control characters"))
}

fn unsendable(reason: &str) -> CallError {
    CallError::Unsendable { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_would_reach_another_endpoint_is_not_sent() {
        for path in
            ["/subscriptions/", "/subscriptions/../customers/cus_1", "/a?b", "/a#b", "/a%2fb", "a", ""]
        {
            let request = RequestBuilder::new(StripeMethod::Get, path);
            let prepared = Prepared::new("http://127.0.0.1", request, None);
            assert!(matches!(prepared, Err(CallError::Unsendable { .. })), "{path}");
        }
    }

    #[test]
    fn stripes_paths_are_sent_below_v1() {
        let request = RequestBuilder::new(StripeMethod::Get, "/subscriptions/sub_1Ab");
        let prepared = Prepared::new("http://127.0.0.1:1", request, None).expect("a plain path");
        assert_eq!(prepared.url.as_str(), "http://127.0.0.1:1/v1/subscriptions/sub_1Ab");
    }
}
