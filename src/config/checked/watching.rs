//! `[access_log]` and `[tracing]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::findings::Findings;
use crate::config::values::header;
use crate::config::values::secret::Secret;
use crate::config::written::{self, LogField};

/// A line of JSON for each request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// `None`: to standard error.
    pub path: Option<PathBuf>,
    /// Of a million requests.
    pub sample: u32,
    pub slow: Duration,
    pub fields: Vec<LogField>,
}

/// Spans of requests over OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    pub otlp_endpoint: String,
    /// Of a million traces that begin here.
    pub sample: u32,
    /// By name, in lower case.
    pub headers: Vec<(String, Secret)>,
}

pub(super) fn access_log(written: &written::AccessLog) -> Option<AccessLog> {
    let path = &written.path.get()?.0;
    Some(AccessLog {
        path: (path != "stderr").then(|| PathBuf::from(path)),
        sample: written.sample.value.0,
        slow: written.slow.value.0,
        fields: written.fields.value.iter().map(|field| field.value).collect(),
    })
}

pub(super) fn tracing(written: &written::Tracing, found: &mut Findings) -> Option<Tracing> {
    let headers = written.headers.get().map_or(&[][..], |headers| &headers.0).iter();
    // What is no name at all is reported where the table is read.
    let headers: Vec<_> = headers
        .filter_map(|named| Some((header::parse(&named.name)?.0.to_string(), named.value.clone())))
        .collect();
    let endpoint = written.otlp_endpoint.at()?;
    if endpoint.value.is_plain_beyond_loopback() && !headers.is_empty() {
        let what = "these headers could be read on the way";
        found.error(&endpoint.place, what, "write an https URL");
    }
    Some(Tracing { otlp_endpoint: endpoint.value.to_text(), sample: written.sample.value.0, headers })
}
