//! What can stand behind a key: one file per kind of value, each with its syntax, its schema and its help.

use serde_json::{Value as Json, json};

use super::read::{Read, Reader};
use super::tree::{Node, Value};

pub(crate) mod address;
pub(crate) mod algorithm;
pub(crate) mod allowance;
pub(crate) mod cidr;
pub(crate) mod daytime;
pub(crate) mod header;
pub(crate) mod money;
pub(crate) mod number;
pub(crate) mod origin;
pub(crate) mod pace;
pub(crate) mod path;
pub(crate) mod pem;
pub(crate) mod pointer;
pub(crate) mod redis;
pub(crate) mod secret;
pub(crate) mod server_url;
pub(crate) mod share;
pub(crate) mod size;
pub(crate) mod span;
pub(crate) mod status;
pub(crate) mod text;
pub(crate) mod url;

/// The schema of a string with a syntax and a name for it; a reference to a variable may stand in its place.
pub(crate) fn pattern(title: &str, syntax: &str) -> Json {
    json!({ "type": "string", "title": title, "pattern": format!(r"^({syntax})$|\$\{{") })
}

/// The same schema under another name.
pub(crate) fn titled(title: &str, mut schema: Json) -> Json {
    schema["title"] = title.into();
    schema
}

/// The schema of one word of several.
pub(crate) fn one_of(words: &[&str]) -> Json {
    json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": r"\$\{" }] })
}

/// One word of several.
pub(crate) fn choose<T: Copy>(node: &Node, reader: &mut Reader<'_>, words: &[(&str, T)]) -> Option<T> {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let help = format!("write {}", quoted.join(" or "));
    reader.parse(node, &help, |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| "this word has no meaning here".into())
    })
}

/// An enum that is read as one word of several.
macro_rules! words {
    ($(#[$of:meta])* $name:ident { $($(#[$about:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $crate::config::read::Read for $name {
            fn schema() -> serde_json::Value {
                $crate::config::values::one_of(&[$($word),*])
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                $crate::config::values::choose(node, reader, &[$(($word, Self::$variant)),*])
            }
        }
    };
}
pub(crate) use words;

impl Read for bool {
    fn schema() -> Json {
        json!({ "type": "boolean" })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Boolean(boolean) => Some(boolean),
            _ => reader.unexpected(node, "a boolean", "write true or false, without quotes"),
        }
    }
}

impl Read for String {
    fn schema() -> Json {
        json!({ "type": "string" })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, "write a string in quotes", |text| Ok(text.to_owned()))
    }
}

/// Digits, and what follows them: `"250ms"` is 250 and `ms`.
fn digits_and_rest(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}
