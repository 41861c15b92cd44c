//! A number or `"unlimited"`.

use serde_json::{Value as Json, json};

use super::number::Number;
use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};
use crate::domain::tier::{Allowance, Limit};

/// Far more than anybody uses, and far from overflow.
const MOST: u64 = 1_000_000_000_000_000;

fn schema() -> Json {
    json!({ "anyOf": [Number::<0, MOST>::schema(), { "const": "unlimited" }] })
}

/// The number or the word; the two types say what they mean.
fn read<T>(node: &Node, reader: &mut Reader<'_>, unlimited: T, number: fn(u64) -> T) -> Option<T> {
    match &node.value {
        Value::Text(text) if text == "unlimited" => Some(unlimited),
        Value::Text(_) => {
            let help = r#"write a whole number, or "unlimited""#;
            reader.found.error(&node.place, "this string has no meaning here", help);
            None
        }
        _ => Number::<0, MOST>::read(node, reader).map(|units| number(units.0)),
    }
}

impl Read for Allowance {
    fn schema() -> Json {
        schema()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        read(node, reader, Self::Unlimited, Self::Units)
    }
}

impl Read for Limit {
    fn schema() -> Json {
        schema()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        read(node, reader, Self::Unlimited, Self::Number)
    }
}
