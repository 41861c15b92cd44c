//! Shares of a whole: from `0.0` to `1.0`.

use serde_json::{Value as Json, json};

use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

/// In millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(pub u32);

const WHOLE: f64 = 1_000_000.0;

impl Read for Share {
    fn schema() -> Json {
        json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "write a number from 0.0 to 1.0, such as 0.01 for one of a hundred";
        match node.value {
            Value::Integer(number @ 0..=1) => Some(Self(if number == 0 { 0 } else { 1_000_000 })),
            Value::Float(number) if (0.0..=1.0).contains(&number) =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most a million"
                )]
                Some(Self((number * WHOLE).round() as u32))
            }
            Value::Integer(_) | Value::Float(_) => {
                reader.found.error(&node.place, "this is not a share of a whole", help);
                None
            }
            _ => reader.unexpected(node, "a number", help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::findings::Place;

    fn read(value: Value) -> Option<Share> {
        let node = Node { value, place: Place { key: "sample".into(), span: 0..0 } };
        Share::read(&node, &mut Reader::new(Path::new("")))
    }

    #[test]
    fn shares_lie_between_nothing_and_all() {
        for (number, millionths) in [(0.0, 0), (0.01, 10_000), (0.1, 100_000), (1.0, 1_000_000)] {
            assert_eq!(read(Value::Float(number)), Some(Share(millionths)), "{number}");
        }
        assert_eq!(read(Value::Integer(1)), Some(Share(1_000_000)));
        for number in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(read(Value::Float(number)), None, "{number}");
        }
        assert_eq!(read(Value::Integer(2)), None);
    }
}
