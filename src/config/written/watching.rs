//! `[access_log]` and `[tracing]`.

use crate::config::containers::ByName;
use crate::config::findings::At;
use crate::config::read::{Given, Keys, Section};
use crate::config::values::secret::Secret;
use crate::config::values::share::Share;
use crate::config::values::span::Span;
use crate::config::values::text::Text;
use crate::config::values::url::Url;
use crate::config::values::words;

#[derive(Debug)]
pub(crate) struct AccessLog {
    pub path: Given<Text>,
    pub sample: At<Share>,
    pub slow: At<Span<0>>,
    pub fields: At<Vec<At<LogField>>>,
}

words! {
    /// What a line tells only where it is wanted: it may say who somebody is.
    LogField {
        Path "path",
        Client "client",
        Customer "customer",
        UserAgent "user_agent",
    }
}

impl Section for AccessLog {
    const ABOUT: &'static str = "[access_log]: a line of JSON for each request; left out: none.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            path: keys.required("path", "A file, opened again at SIGHUP; or \"stderr\"."),
            sample: keys.or("sample", "The share of requests that are logged.", 1.0),
            slow: keys.or("slow", "What takes longer, or fails with a 5xx, always is.", "1s"),
            fields: keys.or(
                "fields",
                "Beside the usual: \"path\", \"client\", \"customer\", \"user_agent\".",
                [],
            ),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tracing {
    pub otlp_endpoint: Given<Url>,
    pub sample: At<Share>,
    pub headers: Given<ByName<Secret>>,
}

impl Section for Tracing {
    const ABOUT: &'static str = "[tracing]: spans of requests over OTLP; left out: none.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            otlp_endpoint: keys
                .required("otlp_endpoint", "Where they are sent, such as \"http://127.0.0.1:4318\"."),
            sample: keys.or(
                "sample",
                "The share of traces; what trusted proxies have decided of theirs holds.",
                0.01,
            ),
            headers: keys.optional("headers", "Headers of the exporter, such as a key; secret."),
        }
    }
}
