//! The document as a tree: every value with its place and the path of its key, tables in the order of the file,
//! `${NAME}` filled in.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::expand::expand;
use super::findings::{Findings, Place, join};

/// Keys whose values no excerpt may show.
const SECRET_KEYS: &[&str] = &["admin_token", "private_key", "secret", "secret_key", "webhook_secrets"];

/// Whether a key's value must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key)
}

#[derive(Debug)]
pub(crate) struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i128),
    Boolean(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    Float(f64),
    Date,
    /// Wrong, and already reported.
    Reported,
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: String,
    /// Of the key.
    pub place: Place,
    pub node: Node,
}

impl Value {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Float(_) => "a float",
            Self::Date => "a date",
            Self::Reported => "a wrong value",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

/// A list, or an empty one.
impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        let node = |text: &str| Node { value: text.into(), place: Place { key: String::new(), span: 0..0 } };
        Self::List(texts.map(node).into())
    }
}

impl Node {
    /// Where the scalars in it stand, but for the names of files.
    pub(crate) fn scalars(&self, spans: &mut Vec<Range<usize>>) {
        match &self.value {
            Value::List(list) => list.iter().for_each(|node| node.scalars(spans)),
            Value::Table(entries) => {
                let contents = entries.iter().filter(|entry| entry.name != "file");
                contents.for_each(|entry| entry.node.scalars(spans));
            }
            _ => spans.push(self.place.span.clone()),
        }
    }
}

/// The root table; `None` where the text is no TOML.
pub(crate) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>, found: &mut Findings) -> Option<Node> {
    match DeTable::parse(text) {
        Ok(table) => {
            let value = Value::Table(Builder { env, found }.table(table.get_ref(), ""));
            Some(Node { value, place: Place { key: String::new(), span: 0..0 } })
        }
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let span = if span.is_empty() { span.start..span.start.saturating_add(1) } else { span };
            found.syntax = true;
            found.error(
                &Place { key: String::new(), span },
                format!("not valid TOML: {}", error.message().trim().replace('\n', ", ")),
                "mend this first; what else is wrong shows afterwards",
            );
            None
        }
    }
}

struct Builder<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    found: &'a mut Findings,
}

impl Builder<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> =
            table.iter().map(|(name, value)| self.entry(name, value, path)).collect();
        entries.sort_by_key(|entry| entry.place.span.start);
        entries
    }

    fn entry(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        path: &str,
    ) -> Entry {
        let key = join(path, name.get_ref());
        let node = self.node(value, &key);
        if is_secret(name.get_ref()) {
            node.scalars(&mut self.found.masked);
        }
        Entry { name: name.get_ref().to_string(), place: Place { key, span: name.span() }, node }
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Node {
        let place = Place { key: key.to_owned(), span: value.span() };
        let value = match value.get_ref() {
            DeValue::String(text) => self.text(text, &place),
            DeValue::Integer(number) => Value::Integer(integer(number)),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Table(table) => Value::Table(self.table(table, key)),
            DeValue::Array(array) => {
                let nodes = array.iter().enumerate();
                Value::List(nodes.map(|(index, node)| self.node(node, &format!("{key}[{index}]"))).collect())
            }
        };
        Node { value, place }
    }

    fn text(&mut self, text: &str, place: &Place) -> Value {
        match expand(text, self.env) {
            Ok(text) => Value::Text(text),
            Err(mistakes) => {
                for mistake in mistakes {
                    self.found.error(place, mistake.what, mistake.help);
                }
                Value::Reported
            }
        }
    }
}

/// What does not fit is as far out of every range as the largest number.
fn integer(number: &DeInteger<'_>) -> i128 {
    let largest = if number.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(largest)
}
