//! Secrets and keys: a string, or `{ file = "…" }`.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::titled;
use crate::config::read::{Read, Reader};
use crate::config::tree::{Entry, Node, Value};

/// A string that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// For whoever checks or sends it; never for a log, an error or an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl Read for Secret {
    fn schema() -> Json {
        titled("secret", Content::schema())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        node.scalars(&mut reader.found.masked);
        Content::read(node, reader).map(|content| Self(content.0))
    }
}

/// A text that may stand in a file of its own; not empty, without the line's end that editors put last.
#[derive(Clone, Debug)]
pub(crate) struct Content(pub String);

const HELP: &str = r#"write "${NAME}" for an environment variable, or { file = "…" } for a file's content"#;
/// Keys and secrets are short; what is longer is another file.
const LARGEST_FILE: u64 = 1024 * 1024;

impl Read for Content {
    fn schema() -> Json {
        let file = json!({
            "type": "object",
            "properties": { "file": { "type": "string", "description": "Relative to the configuration's folder." } },
            "required": ["file"],
            "additionalProperties": false,
        });
        json!({ "title": "text or file", "anyOf": [{ "type": "string", "minLength": 1 }, file] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Table(entries) => read_named(node, entries, reader)?,
            _ => return reader.unexpected(node, "a string or { file = \"…\" }", HELP),
        };
        if text.is_empty() {
            reader.found.error(&node.place, "it is empty", HELP);
            return None;
        }
        Some(Self(text))
    }
}

fn read_named(node: &Node, entries: &[Entry], reader: &mut Reader<'_>) -> Option<String> {
    let [Entry { name, node: file, .. }] = entries else {
        return reader.unexpected(node, "a string or { file = \"…\" }", HELP);
    };
    if name != "file" {
        return reader.unexpected(node, "a string or { file = \"…\" }", HELP);
    }
    content_of(file, reader, "name a readable text file, relative to the configuration's folder")
}

/// The content of the file that a node names.
pub(super) fn content_of(file: &Node, reader: &mut Reader<'_>, help: &str) -> Option<String> {
    let folder = reader.folder;
    if let Value::Text(path) = &file.value {
        reader.files.push(folder.join(path));
    }
    reader.parse(file, help, |path| {
        content(&folder.join(path)).map_err(|error| format!("cannot read the file: {error}"))
    })
}

fn content(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}
