//! Statuses: `"2xx"`, `"404"` or `404`, and those of gRPC, `"grpc:0"`.

use serde_json::{Value as Json, json};

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statuses {
    /// All from n00 to n99.
    Class(u8),
    Exact(u16),
    /// From 0 to 16.
    Grpc(u8),
}

impl Read for Statuses {
    fn schema() -> Json {
        let exact = json!({ "type": "integer", "minimum": 200, "maximum": 599 });
        json!({ "anyOf": [exact, pattern("status class", "[2-5](xx|[0-9]{2})|grpc:1?[0-9]")] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help =
            r#"write a class such as "2xx", a status from 200 to 599, or one of gRPC such as "grpc:0""#;
        let wrong = || "this is not a status that an answer can have".to_owned();
        if let Value::Integer(number) = node.value {
            let status = exact(number);
            if status.is_none() {
                reader.found.error(&node.place, wrong(), help);
            }
            return status;
        }
        reader.parse(node, help, |text| {
            if let Some(code) = text.strip_prefix("grpc:") {
                return code.parse().ok().filter(|code| *code <= 16).map(Self::Grpc).ok_or_else(wrong);
            }
            let class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
            match class {
                Some(class @ 2..=5) => Ok(Self::Class(class)),
                _ => text.parse().ok().and_then(exact).ok_or_else(wrong),
            }
        })
    }
}

fn exact(number: i128) -> Option<Statuses> {
    u16::try_from(number).ok().filter(|status| (200..=599).contains(status)).map(Statuses::Exact)
}
