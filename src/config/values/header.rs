//! Names of headers.

use std::sync::Arc;

use http::HeaderName;
use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

/// The name of a header, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header(pub Arc<str>);

const HELP: &str = r#"write the name of a header, such as "x-cache""#;

impl Read for Header {
    fn schema() -> Json {
        pattern("header name", "[!#$%&'*+.^_`|~0-9A-Za-z-]+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, HELP, |text| parse(text).ok_or_else(|| "this is not the name of a header".into()))
    }
}

pub(crate) fn parse(text: &str) -> Option<Header> {
    HeaderName::from_bytes(text.as_bytes()).ok().map(|name| Header(name.as_str().into()))
}
