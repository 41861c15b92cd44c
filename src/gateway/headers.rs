//! One way to change headers: on pingora's own way, which keeps the spelling of names, and on the short way, which
//! sends them in lower case.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// For what has been checked to be visible ASCII: names of the configuration and of tokens, and numbers.
pub(super) fn value(text: impl Into<String>) -> HeaderValue {
    HeaderValue::try_from(text.into()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The same for what a configuration says, once, and many requests show: cloning it touches no count that cores
/// share. It lasts as long as the process.
pub(super) fn lasting(text: impl Into<String>) -> HeaderValue {
    let text: String = text.into();
    match HeaderValue::from_str(&text) {
        Ok(_) => HeaderValue::from_static(text.leak()),
        Err(_) => HeaderValue::from_static(""),
    }
}

pub(super) trait Headers {
    fn all(&self) -> &HeaderMap;
    /// Sets a header, in place of all others of its name.
    fn put(&mut self, name: HeaderName, value: HeaderValue) -> Result<()>;
    fn delete(&mut self, name: &HeaderName);
}

impl Headers for HeaderMap {
    fn all(&self) -> &HeaderMap {
        self
    }

    fn put(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert(name, value);
        Ok(())
    }

    fn delete(&mut self, name: &HeaderName) {
        self.remove(name);
    }
}

impl Headers for RequestHeader {
    fn all(&self) -> &HeaderMap {
        &self.headers
    }

    fn put(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn delete(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

impl Headers for ResponseHeader {
    fn all(&self) -> &HeaderMap {
        &self.headers
    }

    fn put(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn delete(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}
