//! JSON Pointers: `"/usage/total_tokens"`.

use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;
use crate::domain::measure::Pointer;

impl Read for Pointer {
    fn schema() -> Json {
        pattern("JSON Pointer", "(/([^/~]|~[01])*)+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write a JSON Pointer (RFC 6901), such as "/usage/total_tokens""#;
        reader.parse(node, help, |text| Self::parse(text).map_err(|error| error.to_string()))
    }
}
