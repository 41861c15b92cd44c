//! Patterns of routes, and fixed paths: in the one spelling that requests are matched in.

use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;
use crate::domain::path::NormalPath;

/// A route's path, in which `{name}` stands for a segment and a last `{*rest}` for all that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub String);

const HELP: &str = "write a path such as \"/signals\", \"/signals/{symbol}\" or \"/files/{*rest}\"";

impl Read for Pattern {
    fn schema() -> Json {
        pattern("path pattern", "/.*")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, HELP, |text| {
            let (plain, parameters) = without_parameters(text)?;
            let normal = parameters
                .iter()
                .fold(normal(&plain)?, |path, (stand_in, parameter)| path.replace(stand_in, parameter));
            if normal == text { Ok(Self(normal)) } else { Err(not_normal(&normal)) }
        })
    }
}

/// A path without parameters, such as `/billing`; not the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedPath(pub String);

impl Read for FixedPath {
    fn schema() -> Json {
        pattern("path", "/.+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, "write a path without parameters, such as \"/billing\"", Self::parse)
    }
}

impl FixedPath {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // The router takes a colon or a star at the front for a parameter as well.
        if text.contains(['{', '}']) || text.contains("/:") || text.contains("/*") {
            return Err("there are no parameters here".into());
        }
        let normal = normal(text)?;
        match normal.trim_end_matches('/') {
            "" => Err("the root cannot be taken from the API".into()),
            trimmed if trimmed != text => Err(not_normal(trimmed)),
            _ => Ok(Self(normal)),
        }
    }
}

fn normal(path: &str) -> Result<String, String> {
    NormalPath::parse(path).map(|path| path.forwarded().to_owned()).map_err(|error| error.to_string())
}

fn not_normal(normal: &str) -> String {
    format!("requests never arrive with this spelling, but as `{normal}`")
}

/// The path with a plain word for each parameter, and which word stands for which. Static text cannot be
/// mistaken for a stand-in: it would have to be longer than the whole pattern.
pub(crate) fn without_parameters(pattern: &str) -> Result<(String, Vec<(String, String)>), String> {
    let mut plain = String::with_capacity(pattern.len());
    let mut parameters = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find(['{', '}']) {
        plain.push_str(&rest[..open]);
        let parameter = &rest[open..];
        let close =
            parameter.find('}').filter(|close| *close > 0).ok_or("a brace is not closed, or not opened")?;
        let parameter = &parameter[..=close];
        rest = &rest[open + close + 1..];
        let name = parameter.trim_start_matches('{').trim_end_matches('}');
        if name.starts_with('*') && !(rest.is_empty() && plain.ends_with('/')) {
            return Err("`{*rest}` is only allowed as the last segment".into());
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err("a parameter's name has letters, digits and underscores only".into());
        }
        let stand_in = format!("{}{}.", "x".repeat(pattern.len()), parameters.len());
        plain.push_str(&stand_in);
        parameters.push((stand_in, parameter.to_owned()));
    }
    plain.push_str(rest);
    Ok((plain, parameters))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::findings::Place;

    fn read<T: Read>(text: &str) -> Result<T, String> {
        let place = Place { key: "path".into(), span: 0..0 };
        let node = Node { value: text.into(), place };
        let mut reader = Reader::new(Path::new(""));
        let value = T::read(&node, &mut reader);
        value.ok_or_else(|| reader.found.list.iter().map(|finding| finding.what.clone()).collect())
    }

    #[test]
    fn patterns_are_accepted_in_normal_form_only() {
        for text in [
            "/",
            "/signals",
            "/signals/",
            "/a/{b}/c/{d}",
            "/{*rest}",
            "/a/{b}.json",
            "/caf%C3%A9/{x}",
            "/xxxx0./{a}",
        ] {
            assert_eq!(read(text), Ok(Pattern(text.into())), "{text}");
        }
        for (text, spelling) in [
            ("//signals", "`/signals`"),
            ("/a/../{b}", "`/{b}`"),
            ("/a/./{b}/%64", "`/a/{b}/d`"),
            ("/a b/{c}", "not allowed"),
            ("/café", "`/caf%C3%A9`"),
            ("/%2f", "encoded slash"),
            ("signals", "start with a slash"),
            ("{a}", "start with a slash"),
            ("", "start with a slash"),
        ] {
            let what = read::<Pattern>(text).expect_err(text);
            assert!(what.contains(spelling), "{text}: {what}");
        }
    }

    #[test]
    fn parameters_have_names_and_a_catch_all_comes_last() {
        for text in ["/{", "/}", "/{}", "/{a b}", "/{{a}}", "/{*}", "/{*a}/b", "/x{*a}", "/a}{b}"] {
            assert!(read::<Pattern>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fixed_paths_have_neither_parameters_nor_a_trailing_slash() {
        assert_eq!(read("/webhooks/stripe"), Ok(FixedPath("/webhooks/stripe".into())));
        for text in ["/", "//", "/billing/", "/{a}", "billing", "/a/../b"] {
            assert!(read::<FixedPath>(text).is_err(), "{text}");
        }
    }
}
