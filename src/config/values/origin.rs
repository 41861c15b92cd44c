//! Web origins: `"https://app.example.com"`.

use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;
use crate::domain::origin::Origin;

impl Read for Origin {
    fn schema() -> Json {
        pattern("origin", "https?://[^/?#]+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write scheme and host alone, such as "https://app.example.com""#;
        reader.parse(node, help, |text| Self::parse(text).ok_or_else(|| "this is not an origin".into()))
    }
}
