//! The token in a request's headers.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{AuthError, MAX_TOKEN_BYTES, Reason};

const SCHEME: &[u8] = b"bearer";

/// What stands where the one bearer token belongs, unread: a verified one is known by its bytes.
///
/// # Errors
/// When there is no bearer token, or more than one `Authorization` header.
pub fn find(headers: &HeaderMap) -> Result<&[u8], AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Duplicate);
    }
    let value = value.as_bytes().trim_ascii_end();
    let ends = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(ends);
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(AuthError::Missing);
    }
    Ok(token.trim_ascii_start())
}

/// The text of what was found.
///
/// # Errors
/// When it cannot be a token.
pub fn read(token: &[u8]) -> Result<&str, AuthError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Reason::TooLong.into());
    }
    // Every byte is looked at, whatever the others are: that goes by many at once.
    let is_graphic = token.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
    if token.is_empty() || !is_graphic {
        return Err(Reason::Malformed.into());
    }
    std::str::from_utf8(token).map_err(|_| Reason::Malformed.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
        read(find(headers)?)
    }

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn scheme_is_read_without_regard_to_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(bearer(&headers(&[value])), Ok("a.b.c"), "{value}");
        }
    }

    #[test]
    fn nothing_and_other_schemes_are_a_missing_token() {
        assert_eq!(bearer(&HeaderMap::new()), Err(AuthError::Missing));
        for value in ["Basic dXNlcjpwYXNz", "", "bearertoken", "Bearer\ta.b.c"] {
            assert_eq!(bearer(&headers(&[value])), Err(AuthError::Missing), "{value}");
        }
    }

    #[test]
    fn two_authorization_headers_are_refused_even_when_equal() {
        let twice = headers(&["Bearer a.b.c", "Bearer a.b.c"]);
        assert_eq!(bearer(&twice), Err(AuthError::Duplicate));
    }

    #[test]
    fn what_cannot_be_a_token_is_malformed() {
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a\tb"] {
            let refused = Err(Reason::Malformed.into());
            assert_eq!(bearer(&headers(&[value])), refused, "{value}");
        }
        let mut raw = HeaderMap::new();
        raw.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert_eq!(bearer(&raw), Err(Reason::Malformed.into()));
    }

    #[test]
    fn sixteen_kib_are_a_token_and_one_byte_more_is_not() {
        for (length, expected) in [(MAX_TOKEN_BYTES, true), (MAX_TOKEN_BYTES + 1, false)] {
            let value = format!("Bearer {}", "x".repeat(length));
            let mut map = HeaderMap::new();
            map.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&map).is_ok(), expected);
        }
    }
}
