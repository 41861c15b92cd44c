//! Who is let in: whoever shows the admin token once. The cookie that they get opens pages and nothing else; it ends
//! after twelve hours, when they sign out, when the admin token changes, and with this process.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Dashboard;
use super::api::with_query;
use super::frame::{self, BASE, Question, SIGN_IN, closed};
use crate::clock;
use crate::pages::parts::forms;
use crate::pages::parts::headers::refuse_cross_site;
use crate::pages::parts::layout::{note, sentence, with_status};
use crate::pages::parts::session::{Cookie, Session, SessionKey};
use crate::problem::{Code, Problem};

/// Tells the SHA-256 of the admin token as it is configured now; none where there is none.
pub type TokenDigest = Arc<dyn Fn() -> Option<[u8; 32]> + Send + Sync>;

const COOKIE: &str = "tollgate_operator";
const PURPOSE: &str = "operator";
/// A working day.
const LASTS_SECONDS: i64 = 12 * 3_600;
/// From one address, at once; as many are earned back in a minute.
const TRIES: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// Addresses that have earned everything back are forgotten once in so many tries.
const SWEEP_EVERY: u32 = 1_024;

pub struct Door {
    token: TokenDigest,
    /// Of this process: what is signed out stays out, since no other process takes the cookie.
    salt: [u8; 32],
    /// Sessions that were signed out before they ended, with their ends.
    left: Mutex<HashMap<String, i64>>,
    tries: DefaultKeyedRateLimiter<IpAddr>,
    tried: AtomicU32,
}

impl Door {
    pub fn new(token: TokenDigest) -> Self {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).expect("a system without randomness serves nobody");
        Self {
            token,
            salt,
            left: Mutex::default(),
            tries: RateLimiter::keyed(Quota::per_minute(TRIES)),
            tried: AtomicU32::new(0),
        }
    }

    /// The key of the token that is configured now; none where none is.
    fn key(&self) -> Option<SessionKey> {
        let digest = (self.token)()?;
        Some(SessionKey::derive(&[self.salt, digest].concat(), PURPOSE))
    }

    fn session(&self, key: &SessionKey, headers: &HeaderMap) -> Option<Session> {
        let session = key.of_request(headers, COOKIE, PURPOSE, clock::now().seconds())?;
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        (!left.contains_key(&session.nonce)).then_some(session)
    }

    /// Whether a session that was opened still holds.
    pub fn still_opens(&self, operator: &Operator) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Session { nonce, until, .. } = &operator.session;
        let same_key = self.key().is_some_and(|key| key == operator.key);
        same_key && *until > clock::now().seconds() && !left.contains_key(nonce)
    }

    fn leave(&self, session: &Session) {
        let now = clock::now().seconds();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, until| *until > now);
        left.insert(session.nonce.clone(), session.until);
    }

    /// Counts a try, or says when to come back.
    fn spend(&self, from: IpAddr) -> Result<(), Problem> {
        if self.tried.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.tries.retain_recent();
        }
        self.tries.check_key(&from).map_err(|until| {
            let wait = until.wait_time_from(self.tries.clock().now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let detail = format!("too many tries from this address; come back in {seconds} seconds");
            Problem { retry_after: Some(seconds.max(1)), ..Problem::new(Code::RateLimited, detail) }
        })
    }

    /// Compared as digests, in the same time wherever they differ.
    fn is_token(&self, sent: &str) -> bool {
        let sent: [u8; 32] = Sha256::digest(sent.trim().as_bytes()).into();
        (self.token)().is_some_and(|expected| bool::from(expected.ct_eq(&sent)))
    }
}

/// Somebody who has been let in.
#[derive(Clone)]
pub struct Operator {
    key: SessionKey,
    session: Session,
}

impl Operator {
    /// What every form of theirs holds.
    pub fn token(&self) -> Markup {
        forms::token(&self.key, &self.session)
    }
}

impl FromRequestParts<Dashboard> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Dashboard) -> Result<Self, Response> {
        let Some(key) = state.door.key() else { return Err(closed()) };
        if let Some(session) = state.door.session(&key, &parts.headers) {
            return Ok(Self { key, session });
        }
        // A form that is sent too late is not sent again behind their back.
        let asked = (parts.method == Method::GET).then(|| parts.uri.path_and_query()).flatten();
        let back = asked.map_or_else(String::new, |path| match path.as_str().trim_start_matches('/') {
            rest if rest.is_empty() || rest.starts_with('?') => format!("{BASE}{rest}"),
            rest => format!("{BASE}/{rest}"),
        });
        Err(Redirect::to(&with_query(SIGN_IN, &[("next", &back)])).into_response())
    }
}

/// A form that one of our pages has sent.
pub struct Sent {
    pub operator: Operator,
    fields: HashMap<String, String>,
}

impl Sent {
    /// A field without the spaces around it; none if it is empty.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// Fields whose names begin so, by the rest of their names; empty ones are left out.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let named = self
            .fields
            .iter()
            .filter_map(move |(name, text)| Some((name.strip_prefix(prefix)?, text.trim())));
        named.filter(|(_, text)| !text.is_empty())
    }

    /// A field that the page always has.
    pub fn named(&self, name: &str) -> Result<&str, Problem> {
        self.field(name).ok_or_else(|| Problem::new(Code::BadRequest, format!("the form lacks {name}")))
    }
}

impl FromRequest<Dashboard> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Dashboard) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let operator = Operator::from_request_parts(&mut parts, state).await?;
        let headers = parts.headers.clone();
        let read =
            Form::<HashMap<String, String>>::from_request(Request::from_parts(parts, body), state).await;
        let wrong = |problem: &Problem| frame::problem(&operator, "This was not done", "", problem);
        let Ok(Form(fields)) = read else {
            return Err(wrong(&Problem::new(Code::BadRequest, "this is no form of these pages")));
        };
        let sent = fields.get(forms::FIELD).map(String::as_str);
        forms::check(&operator.key, &operator.session, &headers, sent).map_err(|problem| wrong(&problem))?;
        Ok(Self { operator, fields })
    }
}

#[derive(Default, Deserialize)]
pub struct Asked {
    next: Option<String>,
    left: Option<String>,
}

/// `GET /dashboard/sign-in`.
pub async fn page(
    State(state): State<Dashboard>,
    Question(Asked { next, left }): Question<Asked>,
    headers: HeaderMap,
) -> Response {
    let Some(key) = state.door.key() else { return closed() };
    if state.door.session(&key, &headers).is_some() {
        return Redirect::to(BASE).into_response();
    }
    let said = left.map(|_| note("good", "You have signed out."));
    frame::outside("Sign in", &form(next.as_deref(), said.as_ref()))
}

fn form(next: Option<&str>, said: Option<&Markup>) -> Markup {
    html! {
        h1 { "Sign in" }
        p.lead { "With the admin token of the configuration (" code { "server.admin_token" } ")." }
        @if let Some(said) = said { (said) }
        form.panel method="post" action=(SIGN_IN) {
            input type="hidden" name="next" value=(next.unwrap_or_default());
            div.field {
                label for="token" { "Admin token" }
                input #token type="password" name="token" autocomplete="current-password" required autofocus;
            }
            button.main type="submit" { "Sign in" }
        }
        p.quiet.small { "You stay signed in for twelve hours, or until you sign out." }
    }
}

#[derive(Deserialize)]
pub struct Shown {
    token: String,
    #[serde(default)]
    next: String,
}

/// `POST /dashboard/sign-in`. There is no session yet to which a form could be bound; nobody gains by signing somebody
/// else in with a token that they hold themselves.
pub async fn sign_in(
    State(state): State<Dashboard>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(Shown { token, next }): Form<Shown>,
) -> Response {
    let door = &state.door;
    let Some(key) = door.key() else { return closed() };
    let wrong = || Problem::new(Code::TokenInvalid, "this is not the admin token of the configuration");
    let checked = refuse_cross_site(&headers)
        .and_then(|()| door.spend(from.ip()))
        .and_then(|()| door.is_token(&token).then_some(()).ok_or_else(wrong));
    if let Err(problem) = checked {
        let said = note("bad", &sentence(&problem.detail));
        return with_status(frame::outside("Sign in", &form(Some(&next), Some(&said))), &problem);
    }
    let until = clock::now().seconds() + LASTS_SECONDS;
    let (_, value) = key.make(PURPOSE, PURPOSE, until);
    tracing::info!(from = %from.ip(), "an operator has signed in");
    redirect_with(page_after(&next), &headers, |cookie| cookie.set(&value, LASTS_SECONDS))
}

/// `POST /dashboard/sign-out`.
pub async fn sign_out(State(state): State<Dashboard>, headers: HeaderMap, sent: Sent) -> Response {
    state.door.leave(&sent.operator.session);
    redirect_with(&with_query(SIGN_IN, &[("left", "1")]), &headers, |cookie| cookie.clear())
}

/// A page of ours, and no other.
fn page_after(next: &str) -> &str {
    let inside = next.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if inside && plain && !next.starts_with(SIGN_IN) { next } else { BASE }
}

fn redirect_with(
    to: &str,
    headers: &HeaderMap,
    set: impl FnOnce(&Cookie<'_>) -> Option<axum::http::HeaderValue>,
) -> Response {
    // The port itself speaks no TLS; a proxy before it may. Who lies about it gets a cookie that is kept more strictly.
    let secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let cookie = Cookie { name: COOKIE, path: BASE, same_site: "Strict", secure };
    let mut response = Redirect::to(to).into_response();
    response.headers_mut().extend(set(&cookie).map(|value| (header::SET_COOKIE, value)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_our_own_pages_alone() {
        for inside in ["/dashboard", "/dashboard/customer?name=a%2Fb", "/dashboard?said=1"] {
            assert_eq!(page_after(inside), inside);
        }
        for outside in [
            "",
            "https://evil.example",
            "//evil.example",
            "/dashboardx",
            "/dashboard\\evil",
            "/dashboard/\nx",
            "/admin/stats",
            "/dashboard/sign-in?next=x",
        ] {
            assert_eq!(page_after(outside), "/dashboard", "{outside}");
        }
    }

    #[test]
    fn a_session_ends_when_it_is_left_and_when_the_token_changes() {
        let token = Arc::new(Mutex::new(Some([1; 32])));
        let told = token.clone();
        let door = Door::new(Arc::new(move || *told.lock().expect("a lock")));
        let opens = |value: &str| {
            let line = format!("{COOKIE}={value}").parse().expect("a header");
            let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
            door.key().and_then(|key| door.session(&key, &headers)).is_some()
        };
        let until = clock::now().seconds() + 60;
        let (session, value) = door.key().expect("a key").make(PURPOSE, PURPOSE, until);
        let (_, other) = door.key().expect("a key").make(PURPOSE, PURPOSE, until);
        assert!(opens(&value) && opens(&other));
        door.leave(&session);
        assert!(!opens(&value) && opens(&other), "one has left");
        *token.lock().expect("a lock") = Some([2; 32]);
        assert!(!opens(&other), "another token");
        *token.lock().expect("a lock") = None;
        assert!(!opens(&other), "no token");
    }
}
