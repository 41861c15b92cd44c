//! How a section is read: it asks for its keys one by one, and what it asked is also its JSON Schema.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::findings::{At, Findings, Place, nearest, suggestion};
use super::tree::{Entry, Node, Value, is_secret};

/// What reading needs besides the value itself.
pub(crate) struct Reader<'a> {
    /// What `{ file = "…" }` is relative to.
    pub folder: &'a Path,
    pub found: Findings,
    /// Those that were read, or should have been.
    pub files: Vec<PathBuf>,
}

/// A value that can stand in the file.
pub(crate) trait Read: Sized {
    fn schema() -> Json;

    /// `None`: wrong, and reported.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A table with fixed keys.
pub(crate) trait Section: Sized {
    const ABOUT: &'static str;

    /// Asks for every key. Called with an empty table to learn the schema.
    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self;
}

/// A key's value, if it has one.
#[derive(Clone, Debug)]
pub(crate) enum Given<T> {
    LeftOut,
    /// Wrong, and reported.
    Wrong,
    Value(At<T>),
}

impl<T> Given<T> {
    pub(crate) fn at(&self) -> Option<&At<T>> {
        match self {
            Self::Value(at) => Some(at),
            Self::LeftOut | Self::Wrong => None,
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.at().map(|at| &at.value)
    }

    pub(crate) fn is_left_out(&self) -> bool {
        matches!(self, Self::LeftOut)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder, found: Findings::default(), files: Vec::new() }
    }

    /// Reports that a value has the wrong type; says nothing of what is reported already.
    pub(crate) fn unexpected<T>(&mut self, node: &Node, expected: &str, help: &str) -> Option<T> {
        if !matches!(node.value, Value::Reported) {
            let what = format!("expected {expected}, found {}", node.value.kind());
            self.found.error(&node.place, what, help);
        }
        None
    }

    /// A string that has a meaning; `parse` says what is wrong with it, without repeating it.
    pub(crate) fn parse<T>(
        &mut self,
        node: &Node,
        help: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Value::Text(text) = &node.value else { return self.unexpected(node, "a string", help) };
        match parse(text) {
            Ok(value) => Some(value),
            Err(what) => {
                self.found.error(&node.place, what, help);
                None
            }
        }
    }
}

/// What is known of a key.
struct Question {
    name: &'static str,
    about: &'static str,
    required: bool,
    default: Option<Json>,
    schema: fn() -> Json,
}

/// A table while its keys are asked for.
pub(crate) struct Keys<'n, 'r, 'f> {
    entries: &'n [Entry],
    place: &'n Place,
    reader: &'r mut Reader<'f>,
    asked: Vec<Question>,
}

impl Keys<'_, '_, '_> {
    /// The table itself.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(crate) fn optional<T: Read>(&mut self, name: &'static str, about: &'static str) -> Given<T> {
        self.ask::<T>(name, about, false, None);
        self.find(name)
    }

    /// Left out is a mistake, which is reported with the unknown keys.
    pub(crate) fn required<T: Read>(&mut self, name: &'static str, about: &'static str) -> Given<T> {
        self.ask::<T>(name, about, true, None);
        self.find(name)
    }

    pub(crate) fn or<T: Read>(
        &mut self,
        name: &'static str,
        about: &'static str,
        default: impl Into<Value>,
    ) -> At<T> {
        let default = default.into();
        self.ask::<T>(name, about, false, json_of(&default));
        match self.find(name) {
            Given::Value(given) => given,
            // A wrong value is reported; the default stands in so that the rest can be checked.
            Given::Wrong | Given::LeftOut => self.read_default(name, default),
        }
    }

    /// A table that may be left out: then all its keys are.
    pub(crate) fn section<T: Section>(&mut self, name: &'static str) -> At<T> {
        self.or(name, T::ABOUT, Value::Table(Vec::new()))
    }

    fn read_default<T: Read>(&mut self, name: &str, default: Value) -> At<T> {
        let node = Node { value: default, place: self.place.child(name) };
        let value = T::read(&node, self.reader).expect("every default is valid");
        At { value, place: node.place }
    }

    fn ask<T: Read>(
        &mut self,
        name: &'static str,
        about: &'static str,
        required: bool,
        default: Option<Json>,
    ) {
        self.asked.push(Question { name, about, required, default, schema: T::schema });
    }

    fn find<T: Read>(&mut self, name: &str) -> Given<T> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else { return Given::LeftOut };
        match T::read(&entry.node, self.reader) {
            Some(value) => Given::Value(At { value, place: entry.node.place.clone() }),
            None => Given::Wrong,
        }
    }

    /// Reports what was written and not asked for, and what was asked for and not written. A required key that an
    /// unknown one probably meant is not reported twice.
    fn finish(self) {
        let names: Vec<&str> = self.asked.iter().map(|question| question.name).collect();
        let mut meant = Vec::new();
        for entry in self.entries.iter().filter(|entry| !names.contains(&entry.name.as_str())) {
            let likely = nearest(&entry.name, names.iter().copied());
            meant.extend(likely);
            // Unless it was clearly meant for a plain key, it may be a secret under a misspelt name.
            if likely.is_none_or(is_secret) {
                entry.node.scalars(&mut self.reader.found.masked);
            }
            self.reader.found.error(&entry.place, "unknown key", suggestion(&entry.name, &names));
        }
        for question in self.asked.iter().filter(|question| question.required) {
            let written = self.entries.iter().any(|entry| entry.name == question.name);
            if !written && !meant.contains(&question.name) {
                let help = format!("add `{}`: {}", question.name, question.about);
                self.reader.found.error(&self.place.child(question.name), "missing", help);
            }
        }
    }
}

impl<T: Section> Read for T {
    fn schema() -> Json {
        let mut reader = Reader::new(Path::new(""));
        let place = Place { key: String::new(), span: 0..0 };
        let mut keys = Keys { entries: &[], place: &place, reader: &mut reader, asked: Vec::new() };
        T::read_keys(&mut keys);
        object(T::ABOUT, &keys.asked)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            return reader.unexpected(node, "a table", T::ABOUT);
        };
        let mut keys = Keys { entries, place: &node.place, reader, asked: Vec::new() };
        let section = T::read_keys(&mut keys);
        keys.finish();
        Some(section)
    }
}

fn object(about: &str, asked: &[Question]) -> Json {
    let property = |question: &Question| {
        let mut schema = (question.schema)();
        schema["description"] = question.about.into();
        if let Some(default) = &question.default {
            schema["default"] = default.clone();
        }
        (question.name.to_owned(), schema)
    };
    let properties: serde_json::Map<String, Json> = asked.iter().map(property).collect();
    let required: Vec<&str> = asked.iter().filter(|q| q.required).map(|q| q.name).collect();
    json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A default as the schema shows it; sections show the defaults of their keys instead.
fn json_of(value: &Value) -> Option<Json> {
    match value {
        Value::Text(text) => Some(text.as_str().into()),
        Value::Integer(number) => i64::try_from(*number).ok().map(Json::from),
        Value::Boolean(boolean) => Some((*boolean).into()),
        Value::Float(number) => Some((*number).into()),
        Value::List(list) => list.iter().map(|node| json_of(&node.value)).collect(),
        Value::Table(_) | Value::Date | Value::Reported => None,
    }
}
