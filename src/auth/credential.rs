//! What a request shows to say who sends it: one token, or one API key.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::keys::{KeyTable, Presented};
use super::{AuthError, bearer};

/// Where keys are accepted, and which.
#[derive(Clone)]
pub struct AcceptedKeys {
    /// Beside `Authorization: Bearer`.
    pub header: HeaderName,
    pub table: Arc<KeyTable>,
}

/// What a request shows, unverified.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    Token(&'a [u8]),
    Key(&'a [u8]),
}

/// The one credential of a request.
///
/// # Errors
/// When there is none, or more than one: which one counts would be a guess.
pub fn find<'a>(headers: &'a HeaderMap, keys: Option<&AcceptedKeys>) -> Result<Credential<'a>, AuthError> {
    let Some(keys) = keys else { return bearer::find(headers).map(Credential::Token) };
    let mut shown = headers.get_all(&keys.header).iter();
    match (shown.next(), shown.next()) {
        (None, _) => {
            let found = bearer::find(headers)?;
            let is_key = Presented::parse(found).is_some();
            Ok(if is_key { Credential::Key(found) } else { Credential::Token(found) })
        }
        (Some(key), None) => match bearer::find(headers) {
            Err(AuthError::Missing) => Ok(Credential::Key(key.as_bytes().trim_ascii())),
            Ok(_) | Err(_) => Err(AuthError::Several),
        },
        (Some(_), Some(_)) => Err(AuthError::Several),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(headers: &HeaderMap) -> Result<Credential<'_>, AuthError> {
        let keys = AcceptedKeys {
            header: HeaderName::from_static("x-api-key"),
            table: Arc::new(KeyTable::default()),
        };
        find(headers, Some(&keys))
    }

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        headers.iter().map(pair).collect()
    }

    #[test]
    fn a_key_stands_in_its_own_header_or_where_a_token_would() {
        let key = format!("tgk_12345678_{}", "s".repeat(43));
        let bearer = format!("Bearer {key}");
        for shown_as in [("x-api-key", key.as_str()), ("authorization", bearer.as_str())] {
            assert_eq!(shown(&headers(&[shown_as])), Ok(Credential::Key(key.as_bytes())), "{shown_as:?}");
        }
        let token = headers(&[("authorization", "Bearer a.b.c")]);
        assert_eq!(shown(&token), Ok(Credential::Token(b"a.b.c")));
        assert_eq!(shown(&headers(&[("x-api-key", "garbage")])), Ok(Credential::Key(b"garbage")));
        assert_eq!(shown(&HeaderMap::new()), Err(AuthError::Missing));
    }

    #[test]
    fn two_credentials_are_one_too_many() {
        let (key, token) = (("x-api-key", "k"), ("authorization", "Bearer a.b.c"));
        for both in [&[key, token][..], &[key, key], &[key, token, token]] {
            assert_eq!(shown(&headers(both)), Err(AuthError::Several), "{both:?}");
        }
        // What is of another scheme is no credential here.
        let basic = headers(&[key, ("authorization", "Basic dXNlcjpwYXNz")]);
        assert_eq!(shown(&basic), Ok(Credential::Key(b"k")));
    }

    #[test]
    fn where_keys_are_off_their_header_is_any_header() {
        let both = headers(&[("x-api-key", "k"), ("authorization", "Bearer a.b.c")]);
        assert_eq!(find(&both, None), Ok(Credential::Token(b"a.b.c")));
        assert_eq!(find(&headers(&[("x-api-key", "k")]), None), Err(AuthError::Missing));
    }
}
