//! The header of a token: what it picks among the allowed algorithms and the keys.
//!
//! What a header says depends on its bytes alone, and an issuer writes the same one into all of its tokens. So the
//! last few are remembered by their bytes, as they were read and judged. A header is remembered only after a
//! signature over it has held: nobody but the issuer can fill the memory, or push anything out of it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, decode_header};

use super::Reason;

/// Issuers sign with few keys at a time, and with one header for each.
const MOST_REMEMBERED: usize = 8;
/// Of the encoded header; one that carries certificates is read each time.
const MOST_REMEMBERED_BYTES: usize = 512;

/// A header that is no reason to refuse its token.
#[derive(Debug)]
pub struct Header {
    pub algorithm: Algorithm,
    /// `kid`.
    pub key_id: Option<Box<str>>,
    /// As it stands in the token.
    encoded: Box<str>,
}

/// Reads the headers of tokens.
pub struct Headers {
    allowed: Vec<Algorithm>,
    /// The newest last.
    remembered: ArcSwap<Vec<Arc<Header>>>,
}

impl Headers {
    pub fn new(allowed: Vec<Algorithm>) -> Self {
        Self { allowed, remembered: ArcSwap::default() }
    }

    /// What may be known before a signature is checked. Keys named by the header itself (`jku`, `jwk`, `x5u`, `x5c`)
    /// are not looked at.
    ///
    /// # Errors
    /// When no token with this header is accepted.
    pub fn read(&self, token: &str, encoded: &str) -> Result<Arc<Header>, Reason> {
        let remembered = self.remembered.load();
        if let Some(known) = remembered.iter().find(|known| *known.encoded == *encoded) {
            return Ok(known.clone());
        }
        let header = decode_header(token).map_err(|_| Reason::Malformed)?;
        if !self.allowed.contains(&header.alg) {
            return Err(Reason::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Reason::Critical);
        }
        if header.typ.as_deref().is_some_and(|typ| !is_access_token_type(typ)) {
            return Err(Reason::Type);
        }
        let key_id = header.kid.map(String::into_boxed_str);
        Ok(Arc::new(Header { algorithm: header.alg, key_id, encoded: encoded.into() }))
    }

    /// Remembers the header of a token whose signature holds.
    pub fn remember(&self, header: &Arc<Header>) {
        let is_known = |all: &[Arc<Header>]| all.iter().any(|known| known.encoded == header.encoded);
        if header.encoded.len() > MOST_REMEMBERED_BYTES || is_known(&self.remembered.load()) {
            return;
        }
        self.remembered.rcu(|all| {
            let kept = all.iter().filter(|known| known.encoded != header.encoded);
            let oldest = all.len().saturating_sub(MOST_REMEMBERED - 1);
            kept.skip(oldest).chain([header]).cloned().collect::<Vec<_>>()
        });
    }
}

/// Tokens made for other purposes (RFC 8725, 3.11), such as `logout+jwt` or `dpop+jwt`, open nothing here.
fn is_access_token_type(typ: &str) -> bool {
    let short = match typ.split_once('/') {
        Some((kind, short)) if kind.eq_ignore_ascii_case("application") => short,
        _ => typ,
    };
    short.eq_ignore_ascii_case("JWT") || short.eq_ignore_ascii_case("at+jwt")
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::Algorithm::{HS256, HS512};

    use super::*;

    /// Reads a header, as often as a caller pleases; its token need not be signed.
    fn read(headers: &Headers, header: &str) -> Result<Arc<Header>, Reason> {
        let encoded = URL_SAFE_NO_PAD.encode(header);
        headers.read(&format!("{encoded}.e30.AA"), &encoded)
    }

    fn remembered(headers: &Headers) -> usize {
        headers.remembered.load().len()
    }

    #[test]
    fn a_remembered_header_says_what_it_said_when_it_was_read() {
        let headers = Headers::new(vec![HS256, HS512]);
        for (text, algorithm, key_id) in [
            (r#"{"alg":"HS256","kid":"1"}"#, HS256, Some("1")),
            (r#"{"alg":"HS256","kid":"2"}"#, HS256, Some("2")),
            (r#"{"alg":"HS512","kid":"1"}"#, HS512, Some("1")),
            (r#"{"alg":"HS512"}"#, HS512, None),
        ] {
            let first = read(&headers, text).unwrap();
            headers.remember(&first);
            let again = read(&headers, text).unwrap();
            assert!(Arc::ptr_eq(&first, &again), "{text}");
            assert_eq!((again.algorithm, again.key_id.as_deref()), (algorithm, key_id), "{text}");
        }
    }

    #[test]
    fn headers_as_long_as_a_remembered_one_are_still_judged() {
        let headers = Headers::new(vec![HS256]);
        headers.remember(&read(&headers, r#"{"alg":"HS256","kid":"12"}"#).unwrap());
        for (text, reason) in [
            (r#"{"alg":"HS512","kid":"12"}"#, Reason::Algorithm),
            (r#"{"alg":"HS256","crit":[]} "#, Reason::Critical),
            (r#"{"alg":"HS256","typ":"12"}"#, Reason::Type),
            (r#"{"alg":"nOnE0","kid":"12"}"#, Reason::Malformed),
            (r#"{"alg":"HS256","alg":"HS"}"#, Reason::Malformed),
        ] {
            for _ in 0..2 {
                assert_eq!(read(&headers, text).err(), Some(reason), "{text}");
            }
        }
    }

    #[test]
    fn a_header_that_was_only_read_is_not_remembered() {
        let headers = Headers::new(vec![HS256]);
        read(&headers, r#"{"alg":"HS256"}"#).unwrap();
        assert_eq!(remembered(&headers), 0);
    }

    #[test]
    fn the_last_few_headers_are_remembered_once_each_and_no_long_one() {
        let headers = Headers::new(vec![HS256]);
        let numbered = |number: usize| format!(r#"{{"alg":"HS256","kid":"{number}"}}"#);
        for number in 0..100 {
            for _ in 0..2 {
                // Two threads may have read the same header before either remembers it.
                let [one, other] = [(); 2].map(|()| read(&headers, &numbered(number)).unwrap());
                headers.remember(&one);
                headers.remember(&other);
            }
            assert_eq!(remembered(&headers), (number + 1).min(MOST_REMEMBERED));
        }
        let newest = read(&headers, &numbered(99)).unwrap();
        assert!(Arc::ptr_eq(&newest, &read(&headers, &numbered(99)).unwrap()));
        let long =
            read(&headers, &format!(r#"{{"alg":"HS256","x":"{}"}}"#, "x".repeat(MOST_REMEMBERED_BYTES)));
        headers.remember(&long.unwrap());
        assert!(Arc::ptr_eq(&newest, &read(&headers, &numbered(99)).unwrap()), "nothing was pushed out");
        assert!(headers.remembered.load().iter().all(|known| known.encoded.len() <= MOST_REMEMBERED_BYTES));
    }
}
