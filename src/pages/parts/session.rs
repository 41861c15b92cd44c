//! Who may see pages: a signed value in a cookie that says what it is for, for whom, and until when.
//!
//! Nothing is stored: `v1.PURPOSE.WHO.UNTIL.NONCE.SIGNATURE`, with who in base64url, until in seconds since the epoch,
//! and the signature an HMAC-SHA256 of all that stands before it, under a key that is itself an HMAC of a label under
//! the secret. A value made for one purpose, or under another secret, opens nothing.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A key that makes and opens sessions.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

/// Whoever has been let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub who: String,
    /// Seconds since the epoch.
    pub until: i64,
    /// Random: tells sessions of the same person apart, and binds their forms.
    pub nonce: String,
}

const VERSION: &str = "v1";

impl SessionKey {
    /// Of a secret, for one kind of page: other labels make other keys.
    pub fn derive(secret: &[u8], label: &str) -> Self {
        Self(mac(secret, &["tollgate session key", label]))
    }

    /// A new session, and the value of its cookie.
    pub fn make(&self, purpose: &str, who: &str, until: i64) -> (Session, String) {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let session = Session { who: who.to_owned(), until, nonce };
        let signed = format!("{VERSION}.{purpose}.{}.{until}.{}", URL_SAFE_NO_PAD.encode(who), session.nonce);
        let signature = self.sign(&signed);
        (session, format!("{signed}.{signature}"))
    }

    /// The session that a cookie's value is, if it was made here for this purpose and has not ended.
    pub fn open(&self, value: &str, purpose: &str, now: i64) -> Option<Session> {
        let (signed, signature) = value.rsplit_once('.')?;
        if !self.verify(signed, signature) {
            return None;
        }
        let parts: Vec<&str> = signed.split('.').collect();
        let [VERSION, of, who, until, nonce] = parts[..] else { return None };
        let until = until.parse().ok().filter(|until| *until > now)?;
        let who = String::from_utf8(URL_SAFE_NO_PAD.decode(who).ok()?).ok()?;
        (of == purpose).then(|| Session { who, until, nonce: nonce.to_owned() })
    }

    /// The session that a request carries. Ports of one host share cookies: of several, the first that opens counts.
    pub fn of_request(&self, headers: &HeaderMap, cookie: &str, purpose: &str, now: i64) -> Option<Session> {
        cookies(headers, cookie).find_map(|value| self.open(value, purpose, now))
    }

    /// Of a text, for one use of it; see [`super::forms`].
    pub(super) fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(mac(&self.0, &[text]))
    }

    /// In the same time wherever they differ.
    pub(super) fn verify(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        keyed(&self.0, &[text]).verify_slice(&signature).is_ok()
    }
}

/// Every part is preceded by its length: no two lists of parts are the same bytes.
fn keyed(key: &[u8], parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}

fn mac(key: &[u8], parts: &[&str]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// The values under a name. What others have set beside it may be no text.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.filter_map(move |pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()
    })
}

/// Which pages a cookie is sent to, and how.
#[derive(Clone, Debug)]
pub struct Cookie<'a> {
    pub name: &'a str,
    pub path: &'a str,
    /// `Strict`, or `Lax` where people come by links from elsewhere.
    pub same_site: &'a str,
    /// Where browsers reach the pages by TLS.
    pub secure: bool,
}

impl Cookie<'_> {
    /// `Set-Cookie` of a session for so many seconds. It is `None` if name or path make no header.
    pub fn set(&self, value: &str, seconds: i64) -> Option<HeaderValue> {
        let Self { name, path, same_site, secure } = self;
        let secure = if *secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
        HeaderValue::from_str(&text).ok()
    }

    /// `Set-Cookie` that ends it.
    pub fn clear(&self) -> Option<HeaderValue> {
        self.set("", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn key() -> SessionKey {
        SessionKey::derive(b"a secret of the configuration", "operator")
    }

    #[test]
    fn a_session_opens_for_its_purpose_until_it_ends() {
        let (session, value) = key().make("operator", "näme.with.dots", NOW + 10);
        assert_eq!(key().open(&value, "operator", NOW + 9), Some(session));
        assert_eq!(key().open(&value, "operator", NOW + 10), None, "it has ended");
        assert_eq!(key().open(&value, "usage", NOW), None, "another purpose");
    }

    #[test]
    fn another_secret_another_label_or_any_changed_byte_opens_nothing() {
        let (_, value) = key().make("operator", "ada", NOW + 10);
        for other in [
            SessionKey::derive(b"another", "operator"),
            SessionKey::derive(b"a secret of the configuration", "usage"),
        ] {
            assert_eq!(other.open(&value, "operator", NOW), None);
        }
        for at in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            // The last character of base64 holds bits that mean nothing; they must be zero all the same.
            assert_eq!(key().open(&changed, "operator", NOW), None, "{changed}");
        }
        for cut in ["", ".", "v1", &value[..value.len() - 1]] {
            assert_eq!(key().open(cut, "operator", NOW), None, "{cut}");
        }
    }

    #[test]
    fn of_several_cookies_of_one_name_the_one_that_opens_counts() {
        let (session, value) = key().make("operator", "ada", NOW + 10);
        let line = format!("other=städte; gates=1; gate=forged.by.a.neighbour; gate={value}");
        let line = HeaderValue::from_bytes(line.as_bytes()).expect("a header");
        let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
        assert_eq!(key().of_request(&headers, "gate", "operator", NOW), Some(session));
        assert_eq!(key().of_request(&headers, "other", "operator", NOW), None);
    }

    #[test]
    fn a_cookie_is_for_its_pages_alone_and_not_for_scripts() {
        let cookie = Cookie { name: "gate", path: "/dashboard", same_site: "Strict", secure: true };
        let set = "gate=v; Path=/dashboard; Max-Age=60; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(cookie.set("v", 60).expect("a header"), set);
        let plain = Cookie { secure: false, ..cookie };
        assert_eq!(
            plain.clear().expect("a header"),
            "gate=; Path=/dashboard; Max-Age=0; HttpOnly; SameSite=Strict"
        );
    }
}
