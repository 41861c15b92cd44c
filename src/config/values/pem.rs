//! Certificates and keys in PEM: the path of a file, `{ file = "…" }`, or the text itself.

use std::fmt;

use serde_json::Value as Json;

use super::secret::{Content, content_of};
use super::titled;
use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

/// One or several PEM blocks, not looked into yet. `Debug` does not show them: they may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(String);

/// How every PEM block begins; no path does.
const BEGINS: &str = "-----BEGIN ";

impl Pem {
    /// For whoever parses it; never for a log, an error or an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem([redacted])")
    }
}

impl Read for Pem {
    fn schema() -> Json {
        titled("PEM file", Content::schema())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"name a PEM file, relative to the configuration's folder, such as "cert.pem""#;
        let text = match &node.value {
            Value::Text(text) if text.contains(BEGINS) => text.clone(),
            Value::Text(_) => content_of(node, reader, help)?,
            _ => Content::read(node, reader)?.0,
        };
        if !text.contains(BEGINS) {
            reader.found.error(&node.place, "there is no PEM block in it", help);
            return None;
        }
        Some(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::findings::Place;

    fn read(text: &str, folder: &Path) -> Result<Pem, String> {
        let node = Node { value: text.into(), place: Place { key: "ca".into(), span: 0..0 } };
        let mut reader = Reader::new(folder);
        let pem = Pem::read(&node, &mut reader);
        pem.ok_or_else(|| reader.found.list.iter().map(|finding| finding.what.clone()).collect())
    }

    #[test]
    fn a_path_names_a_file_and_a_block_stands_for_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let block = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";
        std::fs::write(folder.path().join("ca.pem"), block).expect("written");
        std::fs::write(folder.path().join("ca.der"), "0\u{1}").expect("written");
        assert_eq!(read("ca.pem", folder.path()), read(block, folder.path()));
        assert!(read("ca.der", folder.path()).expect_err("no PEM").contains("no PEM block"));
        assert!(read("none.pem", folder.path()).expect_err("no file").contains("cannot read the file"));
        assert_eq!(format!("{:?}", read(block, folder.path()).expect("a block")), "Pem([redacted])");
    }
}
