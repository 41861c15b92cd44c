//! Forms that only their own page can send: each carries a token that is bound to the session.

use axum::http::HeaderMap;
use maud::{Markup, html};

use super::headers::refuse_cross_site;
use super::session::{Session, SessionKey};
use crate::problem::{Code, Problem};

/// The field of a form that holds its token.
pub const FIELD: &str = "csrf";
const USE: &str = "form:";

/// The hidden field that every form has.
pub fn token(key: &SessionKey, session: &Session) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(key.sign(&bound(session))); }
}

/// Whether a form was sent by a page of this session. `sent` is what the field [`FIELD`] held.
pub fn check(
    key: &SessionKey,
    session: &Session,
    headers: &HeaderMap,
    sent: Option<&str>,
) -> Result<(), Problem> {
    refuse_cross_site(headers)?;
    let genuine = sent.is_some_and(|sent| key.verify(&bound(session), sent));
    let stale = || Problem::new(Code::BadRequest, "this form is out of date; load the page again and repeat");
    genuine.then_some(()).ok_or_else(stale)
}

fn bound(session: &Session) -> String {
    format!("{USE}{}", session.nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_from_its_own_session_alone() {
        let key = SessionKey::derive(b"secret", "operator");
        let ((one, _), (other, cookie)) = (key.make("operator", "a", 1), key.make("operator", "a", 1));
        let field = token(&key, &one).into_string();
        let sent = field.split('"').nth(5).expect("a value");
        let none = HeaderMap::new();
        assert_eq!(check(&key, &one, &none, Some(sent)), Ok(()));
        assert!(check(&key, &other, &none, Some(sent)).is_err());
        assert!(check(&key, &one, &none, None).is_err() && check(&key, &one, &none, Some("")).is_err());
        let signature = cookie.rsplit('.').next();
        assert!(check(&key, &other, &none, signature).is_err(), "what signs a cookie opens no form");
        let elsewhere =
            [(http::HeaderName::from_static("sec-fetch-site"), http::HeaderValue::from_static("cross-site"))];
        assert!(check(&key, &one, &HeaderMap::from_iter(elsewhere), Some(sent)).is_err());
    }
}
