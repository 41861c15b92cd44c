//! The path that servers see, made of the one that was matched and priced.
//!
//! # What it promises
//!
//! - A price is taken from the client's path alone; this comes behind it.
//! - What is made is a normal path again: each parameter stands for just the segments that it stood for, so that no
//!   request leaves what the template says by what is in it.
//! - A trailing slash stays one.

use std::sync::Arc;

use super::path::NormalPath;

/// One route's; the default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    #[default]
    None,
    /// This is not shown; the route's pattern begins with it.
    Strip(Arc<str>),
    To(Arc<[Part]>),
}

/// A part of the path that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(Box<str>),
    /// This segment of the client's path, counted from 0.
    Segment(usize),
    /// All from this one on.
    Rest(usize),
}

/// Why a template cannot be filled in; named by the parameter, as it stands in the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`path` has no parameter {{{0}}}")]
    Unknown(String),
    #[error("{{{0}}} must be a whole segment, here and in `path`")]
    InPart(String),
}

impl Rewrite {
    /// Fills `template` with the parameters of a route's `pattern`; both are normal but for their parameters.
    pub fn to(pattern: &str, template: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        for segment in segments(template) {
            let Some(name) = parameter(segment) else {
                if let Some(name) = inside(segment) {
                    return Err(TemplateError::InPart(name.to_owned()));
                }
                parts.push(Part::Text(segment.into()));
                continue;
            };
            let place = segments(pattern).position(|segment| parameter(segment) == Some(name));
            parts.push(match place {
                Some(place) if name.starts_with('*') => Part::Rest(place),
                Some(place) => Part::Segment(place),
                None if pattern.contains(&format!("{{{name}}}")) => {
                    return Err(TemplateError::InPart(name.to_owned()));
                }
                None => return Err(TemplateError::Unknown(name.to_owned())),
            });
        }
        Ok(Self::To(parts.into()))
    }

    /// The path that servers see; none where it is the client's.
    pub fn apply(&self, path: &NormalPath<'_>) -> Option<String> {
        match self {
            Self::None => None,
            Self::Strip(prefix) => match path.forwarded().strip_prefix(&**prefix)? {
                "" => Some("/".to_owned()),
                rest => rest.starts_with('/').then(|| rest.to_owned()),
            },
            Self::To(parts) => Some(fill(parts, path)),
        }
    }
}

fn fill(parts: &[Part], path: &NormalPath<'_>) -> String {
    let mut made = String::with_capacity(path.forwarded().len() + 16);
    for part in parts {
        made.push('/');
        match part {
            Part::Text(text) => made.push_str(text),
            Part::Segment(place) => made.push_str(segments(path.matched()).nth(*place).unwrap_or_default()),
            Part::Rest(place) => made.push_str(from(path.matched(), *place)),
        }
    }
    let slash = path.forwarded().len() > 1 && path.forwarded().ends_with('/');
    if made.is_empty() || (slash && !made.ends_with('/')) {
        made.push('/');
    }
    made
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

/// What a path holds from its `place`th segment on.
fn from(path: &str, place: usize) -> &str {
    path.splitn(place + 2, '/').nth(place + 1).unwrap_or_default()
}

/// The name of a parameter that is a whole segment, with the star of a catch-all.
fn parameter(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    (!name.contains(['{', '}'])).then_some(name)
}

/// The name of a parameter that is a part of a segment.
fn inside(segment: &str) -> Option<&str> {
    let (_, rest) = segment.split_once('{')?;
    rest.split('}').next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(pattern: &str, template: &str, path: &str) -> String {
        let path = NormalPath::parse(path).expect("a path");
        Rewrite::to(pattern, template).expect("a template").apply(&path).expect("another path")
    }

    #[test]
    fn parameters_go_where_the_template_has_them() {
        for (pattern, template, path, made) in [
            ("/signals/{symbol}", "/internal/{symbol}", "/signals/AAPL", "/internal/AAPL"),
            ("/signals/{symbol}", "/internal/{symbol}", "/signals/AAPL/", "/internal/AAPL/"),
            ("/{a}/to/{b}", "/{b}/{a}/{b}", "/x/to/y%2Cz", "/y%2Cz/x/y%2Cz"),
            ("/v1/{*rest}", "/{*rest}", "/v1/a/b/c", "/a/b/c"),
            ("/v1/{*rest}", "/v2/all/{*rest}", "/v1/a/", "/v2/all/a/"),
            ("/v1/{*rest}", "/fixed", "/v1/a", "/fixed"),
            ("/a", "/", "/a", "/"),
            ("/a", "/", "/a/", "/"),
        ] {
            assert_eq!(rewritten(pattern, template, path), made, "{pattern} to {template}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_in_whole_segments() {
        let strip =
            |path: &str| Rewrite::Strip("/v1".into()).apply(&NormalPath::parse(path).expect("a path"));
        assert_eq!(strip("/v1/a/").as_deref(), Some("/a/"));
        assert_eq!(strip("/v1").as_deref(), Some("/"));
        assert_eq!(strip("/v1/").as_deref(), Some("/"));
        assert_eq!(strip("/v10/a"), None);
        assert_eq!(Rewrite::None.apply(&NormalPath::parse("/v1").expect("a path")), None);
    }

    #[test]
    fn a_template_that_cannot_be_filled_in_says_why() {
        let error = |pattern, template| Rewrite::to(pattern, template).expect_err("no template").to_string();
        assert_eq!(error("/a/{b}", "/{c}"), "`path` has no parameter {c}");
        assert_eq!(error("/a/{b}", "/x{b}"), "{b} must be a whole segment, here and in `path`");
        assert_eq!(error("/a/{b}.json", "/{b}"), "{b} must be a whole segment, here and in `path`");
        assert_eq!(error("/a/{b}", "/{*b}"), "`path` has no parameter {*b}");
    }

    proptest! {
        /// Whatever a client writes, it stays one segment below the template's own.
        #[test]
        fn what_is_made_is_normal_and_stays_below_its_prefix(
            segment in "([a-zA-Z0-9.;:|~]|%(2e|2E|41|7c|C3|25)){1,8}",
            rest in "([a-z./;]|%(2e|2E|41|7c|C3|25)){1,12}",
            slash in any::<bool>(),
        ) {
            let end = if slash { "/" } else { "" };
            let raw = format!("/v1/{segment}/of/{rest}{end}");
            let path = NormalPath::parse(&raw);
            prop_assume!(path.is_ok());
            let path = path.expect("a path");
            let mut router = matchit::Router::new();
            router.insert("/v1/{a}/of/{*b}", ()).expect("a pattern");
            prop_assume!(router.at(path.matched()).is_ok());
            let made = rewritten("/v1/{a}/of/{*b}", "/inner/{a}/{*b}", &raw);
            let parsed = NormalPath::parse(&made).expect("a normal path");
            prop_assert_eq!(parsed.forwarded(), &made);
            let found = router.at(path.matched()).expect("it matches");
            let (a, b) = (found.params.get("a").expect("a"), found.params.get("b").expect("b"));
            prop_assert_eq!(parsed.matched(), format!("/inner/{a}/{b}"));
            let stripped = Rewrite::Strip("/v1".into()).apply(&path).expect("it begins so");
            let parsed = NormalPath::parse(&stripped).expect("a path");
            prop_assert_eq!(parsed.forwarded(), &stripped);
        }
    }
}
