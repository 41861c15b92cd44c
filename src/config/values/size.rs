//! Sizes: `"1MiB"`, `"512KiB"`, `"10MB"`, or a number of bytes.

use serde_json::{Value as Json, json};

use super::{digits_and_rest, pattern};
use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

/// Bytes; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

/// Bytes; 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeOrNone(pub u64);

impl Read for SizeOrNone {
    fn schema() -> Json {
        json!({ "anyOf": [{ "const": "0" }, { "const": 0 }, Size::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Integer(0) => Some(Self(0)),
            Value::Text(text) if text == "0" => Some(Self(0)),
            _ => Size::read(node, reader).map(|size| Self(size.0)),
        }
    }
}

/// No body is a pebibyte.
const LARGEST: u64 = 1 << 50;

impl Read for Size {
    fn schema() -> Json {
        let bytes = json!({ "type": "integer", "minimum": 1, "maximum": LARGEST });
        json!({ "title": "size", "anyOf": [bytes, pattern("size", "[0-9]+(B|[kKMG]B|[KMG]iB)")] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write "10MiB", "512KiB", "10MB" or a number of bytes"#;
        let in_range = |bytes: u64| match bytes {
            0 => Err("nothing at all would fit".to_owned()),
            bytes if bytes > LARGEST => Err("too large".to_owned()),
            bytes => Ok(Self(bytes)),
        };
        if let Value::Integer(number) = node.value {
            let size = in_range(u64::try_from(number.max(0)).unwrap_or(u64::MAX));
            return size.map_err(|what| reader.found.error(&node.place, what, help)).ok();
        }
        reader.parse(node, help, |text| in_range(bytes(text).ok_or("this is not a size")?))
    }
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = digits_and_rest(text)?;
    let unit_bytes = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    Some(number.saturating_mul(unit_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("1MiB", Some(1_048_576)),
            ("512KiB", Some(524_288)),
            ("10MB", Some(10_000_000)),
            ("7B", Some(7)),
            ("7", None),
            ("MiB", None),
            ("1mib", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
