//! Request ids: `UUIDv7` (RFC 9562), whose time leads to the ledger segment that holds the record.

use std::fmt;

use http::HeaderValue;
use uuid::{Builder, Uuid};

use crate::domain::usage::Now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    pub fn new(now: Now) -> Self {
        let random = Uuid::new_v4().into_bytes();
        let tail: [u8; 10] = std::array::from_fn(|at| random[at]);
        Self(Builder::from_unix_timestamp_millis(now.nanos() / 1_000_000, &tail).into_uuid())
    }

    /// As headers show it.
    pub fn header(self) -> HeaderValue {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = self.0.as_hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    pub fn bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}
