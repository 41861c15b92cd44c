//! Where in a token's claims something stands.

use std::str::FromStr;

use super::claim::{Claim, Claims};

/// The name of a claim, or a dotted path to one: `sub`, `https://example.com/org`, `organization.id`.
///
/// A claim of the whole name comes first, because namespaced claims contain dots; only without one are the
/// dots steps into objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

/// A claim path is never empty.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a claim needs a name, such as \"sub\" or \"organization.id\"")]
pub struct EmptyClaimPath;

impl FromStr for ClaimPath {
    type Err = EmptyClaimPath;

    fn from_str(path: &str) -> Result<Self, EmptyClaimPath> {
        if path.is_empty() {
            return Err(EmptyClaimPath);
        }
        Ok(Self(path.into()))
    }
}

impl ClaimPath {
    /// The claim's value; an explicit `null` counts as absent.
    pub fn find<'c, 't>(&self, claims: &'c Claims<'t>) -> Option<&'c Claim<'t>> {
        let value = match claims.get(&self.0) {
            Some(literal) => literal,
            None => self.follow(claims)?,
        };
        (*value != Claim::Null).then_some(value)
    }

    fn follow<'c, 't>(&self, claims: &'c Claims<'t>) -> Option<&'c Claim<'t>> {
        let mut steps = self.0.split('.');
        let first = claims.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_object()?.get(step))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What stands there: the tests' values are texts and small numbers.
    fn find(path: &str, claims: &Value) -> Option<Value> {
        let path: ClaimPath = path.parse().unwrap();
        let text = claims.to_string();
        match path.find(&Claims::parse(text.as_bytes()).unwrap())? {
            Claim::Text(text) => Some(json!(text)),
            Claim::Whole(number) => Some(json!(number)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_literal_name_comes_before_the_path() {
        let claims = json!({"org.id": "literal", "org": {"id": "nested"}});
        assert_eq!(find("org.id", &claims), Some(json!("literal")));
        let claims = json!({"https://example.com/org": "acme"});
        assert_eq!(find("https://example.com/org", &claims), Some(json!("acme")));
    }

    #[test]
    fn dots_step_into_objects() {
        let claims = json!({"a": {"b": {"c": 1}, "": 2}, "list": ["x"]});
        assert_eq!(find("a.b.c", &claims), Some(json!(1)));
        assert_eq!(find("a.", &claims), Some(json!(2)));
        for absent in ["a.x", "a.b.c.d", "list.0", ".", "x"] {
            assert_eq!(find(absent, &claims), None, "{absent}");
        }
    }

    #[test]
    fn null_counts_as_absent() {
        assert_eq!(find("a", &json!({"a": null})), None);
        assert_eq!(find("a.b", &json!({"a": {"b": null}})), None);
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert_eq!("".parse::<ClaimPath>(), Err(EmptyClaimPath));
    }
}
