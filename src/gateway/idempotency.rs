//! `Idempotency-Key`: a client's retry of a charged request costs nothing.
//!
//! A repeat is the same request under the same key: same customer, method, path and query as priced, and body. So the
//! body must be known before the request is admitted, and is read ahead; pingora keeps what was read, up to 64 KiB,
//! and sends it to the upstream. A longer body is admitted as a request of its own and digested while it passes: when
//! it has ended before the answer comes, a repeat gives its units back and is free as well, though it needed them.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use sha2::{Digest as _, Sha256};

use crate::customers::Reservation;
use crate::domain::idempotency::Digest;
use crate::domain::path::NormalPath;
use crate::domain::route::Route;
use crate::domain::usage::Now;
use crate::problem::{Code, Problem};

use super::Parts;
use super::admission::{Stopped, with_query};
use super::answer::ask_for_body;
use super::context::{Charge, Context};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_BYTES: usize = 255;
/// What pingora keeps of a body that was read, and sends to the upstream.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// The digest of a body that is too long to be read ahead.
pub(super) struct PassingBody {
    /// Over all that was read before the request was forwarded.
    start: Sha256,
    running: Sha256,
    /// What was read ahead of a body that then turned out to be too long.
    ahead: BytesMut,
}

impl Parts {
    /// The digest of a request that goes by an idempotency key. None without one, and where only the end of the body
    /// will tell: then `context.passing` waits for it.
    pub(super) async fn idempotency_key(
        &self,
        session: &mut ServerSession,
        route: &Route,
        context: &mut Context,
    ) -> Result<Option<Digest>, Stopped> {
        let Some(key) = key_of(session.req_header(), route)? else { return Ok(None) };
        let mut hash = begin(key, session.req_header())?;
        if declared_length(&session.req_header().headers).is_some_and(|length| length > READ_AHEAD_BYTES) {
            context.passing = Some(PassingBody::new(hash, BytesMut::new()));
            return Ok(None);
        }
        let begun = Instant::now();
        let ahead = self.read_ahead(session, route, &mut hash, context).await?;
        context.waited = begun.elapsed();
        context.read_ahead = true;
        if ahead.len() > READ_AHEAD_BYTES {
            context.passing = Some(PassingBody::new(hash, ahead));
            return Ok(None);
        }
        Ok(Some(finish(hash)))
    }

    /// Reads the body up to its end, or a little beyond what can be read ahead.
    async fn read_ahead(
        &self,
        session: &mut ServerSession,
        route: &Route,
        hash: &mut Sha256,
        context: &Context,
    ) -> Result<BytesMut, Stopped> {
        let broken_off = |error: Box<pingora::Error>| Stopped::BrokenOff(error.into_down());
        ask_for_body(session).await.map_err(broken_off)?;
        session.enable_retry_buffering();
        let mut ahead = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await.map_err(broken_off)? {
            hash.update(&chunk);
            ahead.extend_from_slice(&chunk);
            self.hear(ahead.len() as u64, context).map_err(broken_off)?;
            self.check_body(route, ahead.len() as u64)?;
            if ahead.len() > READ_AHEAD_BYTES {
                break;
            }
        }
        Ok(ahead)
    }

    /// The body's last byte is on its way: if the answer is not, the request goes by its key from now on.
    pub(super) async fn body_has_passed(&self, context: &mut Context) {
        let Some(passing) = context.passing.take() else { return };
        let (key, now) = (finish(passing.running), context.settle_at());
        if let Charge::Held(reservation) = &mut context.charge {
            self.goes_by(reservation, key, now).await;
        }
    }

    /// What is held, here or where the books are, goes by a key, if limits allow it.
    pub(super) async fn goes_by(&self, reservation: &mut Reservation, key: Digest, now: Now) {
        if !self.flow.books.are_here()
            && let Some(heir) = self.flow.books.heir().await
        {
            return Box::pin(self.identify_there(&heir, reservation, key, now)).await;
        }
        reservation.identify(key, now);
    }
}

impl PassingBody {
    fn new(start: Sha256, ahead: BytesMut) -> Box<Self> {
        Box::new(Self { running: start.clone(), start, ahead })
    }

    /// Puts what was read ahead before the first chunk, which always comes: the end of a body in chunks is one.
    pub(super) fn pass(&mut self, body: &mut Option<Bytes>) {
        if let Some(chunk) = body {
            self.running.update(chunk);
        }
        if !self.ahead.is_empty() {
            let mut whole = std::mem::take(&mut self.ahead);
            whole.extend_from_slice(body.as_deref().unwrap_or_default());
            *body = Some(whole.freeze());
        }
    }

    /// Another attempt: pingora sends again what it has kept. It makes none once it has passed more than it keeps.
    pub(super) fn rewind(&mut self) {
        self.running = self.start.clone();
    }
}

/// The key of a request that may be charged and can be repeated.
fn key_of<'a>(request: &'a RequestHeader, route: &Route) -> Result<Option<&'a [u8]>, Problem> {
    let repeatable = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&request.method);
    if !route.is_charged() || !repeatable {
        return Ok(None);
    }
    let mut keys = request.headers.get_all(HEADER).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let detail = if keys.next().is_some() {
        "send one Idempotency-Key"
    } else if !(1..=MAX_KEY_BYTES).contains(&key.len()) || !key.as_bytes().iter().all(u8::is_ascii_graphic) {
        "send an Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID"
    } else {
        return Ok(Some(key.as_bytes()));
    };
    Err(Problem::new(Code::BadRequest, detail))
}

/// Each part after its length, so that no two requests look the same; the body follows.
fn begin(key: &[u8], request: &RequestHeader) -> Result<Sha256, Problem> {
    let path = NormalPath::parse(request.uri.path())
        .map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    let target = with_query(path.matched(), request.uri.query());
    let mut hash = Sha256::new();
    for part in [key, request.method.as_str().as_bytes(), target.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(hash)
}

fn finish(hash: Sha256) -> Digest {
    let whole = hash.finalize();
    Digest(std::array::from_fn(|at| whole[at]))
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
