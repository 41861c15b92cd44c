//! Names of signature algorithms.

use serde_json::Value as Json;

use super::one_of;
use crate::config::findings::nearest;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

/// Who can sign: whoever can verify, or only the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// One secret signs and verifies.
    Shared,
    /// A private key signs, a public one verifies.
    PublicKey,
}

/// An algorithm by its name in RFC 7518 or 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm(&'static str);

const OFFERED: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA",
];

impl Algorithm {
    pub fn as_str(self) -> &'static str {
        self.0
    }

    pub fn family(self) -> Family {
        if self.0.starts_with("HS") { Family::Shared } else { Family::PublicKey }
    }
}

impl Read for Algorithm {
    fn schema() -> Json {
        one_of(OFFERED)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = match &node.value {
            crate::config::tree::Value::Text(text) => help(text),
            _ => help(""),
        };
        reader.parse(node, &help, parse)
    }
}

fn parse(text: &str) -> Result<Algorithm, String> {
    match text {
        "ES512" => Err("ES512 is not offered: ring cannot verify signatures on the curve P-521".into()),
        _ if text.eq_ignore_ascii_case("none") => Err("\"none\" would accept unsigned tokens".into()),
        _ => {
            let offered = OFFERED.iter().find(|name| **name == text);
            offered.map(|name| Algorithm(name)).ok_or_else(|| "unknown algorithm".into())
        }
    }
}

fn help(text: &str) -> String {
    match nearest(text, OFFERED.iter().copied()) {
        Some(meant) if text != "ES512" => {
            format!("did you mean \"{meant}\"? offered are {}", OFFERED.join(", "))
        }
        _ => format!("name what the issuer signs with, one of {}", OFFERED.join(", ")),
    }
}
