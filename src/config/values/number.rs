//! Whole numbers between two bounds.

use serde_json::{Value as Json, json};

use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Read for Number<MIN, MAX> {
    fn schema() -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = format!("write a whole number from {MIN} to {MAX}");
        let Value::Integer(number) = node.value else {
            return reader.unexpected(node, "an integer", &help);
        };
        let within = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
        if within.is_none() {
            reader.found.error(&node.place, "the number is out of range", help);
        }
        within.map(Self)
    }
}
