//! Lists, and tables whose keys are names.

use serde_json::{Value as Json, json};

use super::findings::{At, Place};
use super::read::{Read, Reader};
use super::tree::{Node, Value};

/// What is wrong in a list is reported and left out of it.
impl<T: Read> Read for Vec<At<T>> {
    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::List(list) = &node.value else {
            return reader.unexpected(node, "a list", "write a list in square brackets");
        };
        Some(list.iter().filter_map(|node| read_at(node, reader)).collect())
    }
}

/// A list of at least one.
#[derive(Clone, Debug)]
pub(crate) struct NonEmpty<T>(pub Vec<At<T>>);

impl<T: Read> Read for NonEmpty<T> {
    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema(), "minItems": 1 })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(&node.value, Value::List(list) if list.is_empty()) {
            reader.found.error(
                &node.place,
                "the list is empty",
                "write at least one value between the brackets",
            );
            return None;
        }
        Vec::read(node, reader).map(Self)
    }
}

/// A list of at least one; one value alone may stand without brackets.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub Vec<At<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn schema() -> Json {
        json!({ "anyOf": [T::schema(), NonEmpty::<T>::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => NonEmpty::read(node, reader).map(|list| Self(list.0)),
            _ => read_at(node, reader).map(|one| Self(vec![one])),
        }
    }
}

fn read_at<T: Read>(node: &Node, reader: &mut Reader<'_>) -> Option<At<T>> {
    T::read(node, reader).map(|value| At { value, place: node.place.clone() })
}

/// A table of names, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct ByName<T>(pub Vec<Named<T>>);

/// A named value.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    pub name: String,
    /// Of the name.
    pub place: Place,
    pub value: T,
}

impl<T: Read> Read for ByName<T> {
    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
            "additionalProperties": T::schema(),
        })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            return reader.unexpected(node, "a table", "write a table of names and values");
        };
        let mut named = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Err(what) = name(&entry.name) {
                reader.found.error(&entry.place, what, NAME_HELP);
            }
            if let Some(value) = T::read(&entry.node, reader) {
                named.push(Named { name: entry.name.clone(), place: entry.place.clone(), value });
            }
        }
        Some(Self(named))
    }
}

pub(crate) const NAME_HELP: &str = "use 1 to 64 letters, digits, `_`, `-` and `.`";

/// Names are shown in headers, lists and metrics: nothing in them may need quoting.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len());
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if fits && plain { Ok(text.to_owned()) } else { Err("this is not a name".into()) }
}
