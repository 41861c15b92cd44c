//! The short way to the upstream and back, for plain requests, most of an API's traffic, and what opens a WebSocket.
//!
//! Pingora's own way passes each piece of either body through channels between two futures, and hands each upstream
//! connection to a task that watches it until it is used again. A plain request needs none of it: its body, if it has
//! one, is whole before it is forwarded, and the answer's pieces are read and written in turn. Framing, parsing and
//! their defences stay pingora's; [`is_plain`] leaves everything to pingora's way that asks for more.
//!
//! What holds there holds here: a client that leaves or an upstream that dies ends the exchange, and the header goes
//! out only after `charging` has recorded it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::response::Parts as Answer;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::client::HttpSession as Client;
use pingora::{Error, ErrorType, Result};
use tokio::time::Sleep;

use crate::domain::route::Route;

use super::Parts;
use super::context::Context;
use super::measuring::Passed;
use super::phases::{self, taken};
use super::slices::{Cut, Slices};
use super::upstreams::{Link, Outcome, Pace, Server, Upstream};
use super::websocket::Opened;

/// A longer body is sent on while it comes.
const MOST_BODY_BYTES: usize = 64 * 1024;

/// Headers that pingora or we add to a request or an answer.
const MOST_ADDED: usize = 10;

/// Whether a request asks for nothing but its answer: HTTP/1.1, a path, no body or a short one of a known length, no
/// upgrade, no expectation, and nothing about the connection but whether to keep it.
pub(super) fn is_plain(request: &RequestHeader) -> bool {
    asks_only(request, |name, wish| {
        *name == header::CONNECTION
            && (wish.eq_ignore_ascii_case(b"keep-alive") || wish.eq_ignore_ascii_case(b"close"))
    })
}

/// The same, but that of what concerns this connection alone it asks for whatever is `granted`.
pub(super) fn asks_only(request: &RequestHeader, granted: impl Fn(&HeaderName, &[u8]) -> bool) -> bool {
    let mut hosts = 0;
    let mut lengths = 0;
    let headers = request.headers.iter().all(|(name, value)| match *name {
        header::HOST => {
            hosts += 1;
            true
        }
        header::CONTENT_LENGTH => {
            lengths += 1;
            value
                .to_str()
                .is_ok_and(|length| length.parse().is_ok_and(|length: usize| length <= MOST_BODY_BYTES))
        }
        header::CONNECTION
        | header::EXPECT
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION => granted(name, value.as_bytes()),
        _ => !matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings"),
    });
    headers
        // Its answer would have no framing.
        && request.method != Method::CONNECT
        && hosts == 1
        && lengths <= 1
        && request.version == Version::HTTP_11
        && request.uri.authority().is_none()
        && request.raw_path_is_utf8()
        && request.raw_path().starts_with(b"/")
}

/// An attempt to have a request answered.
struct Attempt<'a> {
    upstream: &'a Upstream,
    server: &'a Server,
    route: &'a Route,
    pace: &'a Pace,
    body: Option<&'a Bytes>,
}

impl Attempt<'_> {
    /// The answer has begun; an error where another server is asked instead.
    fn heard(&self, status: u16, method: &Method, context: &Context) -> Result<()> {
        self.upstream.note(self.server, Outcome::Answered(status));
        self.upstream.take_or_ask_another(status, method, self.pace, context)
    }
}

impl Parts {
    /// Forwards a request and answers it; answers the upstream's side of a WebSocket if both agreed to one. An error
    /// leaves the answer to pingora's error path.
    pub(super) async fn exchange(
        &self,
        session: &mut ServerSession,
        route: &Route,
        context: &mut Context,
    ) -> Result<Option<Opened>> {
        let body = self.whole_body(session, context).await.map_err(Error::into_down)?;
        let upstream = self.upstreams.get(route.upstream);
        let pace = upstream.pace(route, context);
        loop {
            context.attempts += 1;
            let turn = upstream.turn(context)?;
            let (link, reused) = match self.upstreams.connect(&turn, &pace).await {
                Ok(connected) => connected,
                Err(error) => {
                    upstream.note(&turn, Outcome::Unconnected);
                    if upstream.connects_again(&turn, &pace, context) {
                        continue;
                    }
                    return Err(error.into_up());
                }
            };
            let attempt = Attempt { upstream, server: &turn, route, pace: &pace, body: body.as_ref() };
            let error = match self.exchange_over(link, &attempt, session, context).await {
                Ok(Some(opened)) => return Ok(Some(Opened::new(opened, pace.idle, turn.into_picked()))),
                Ok(None) => return Ok(None),
                Err(error) => error,
            };
            if phases::answered(session).is_some() {
                return Err(error);
            }
            upstream.note_error(&turn, &error);
            let method = &session.req_header().method;
            if !upstream.sends_again(&turn, &pace, (method, reused, &error), context) {
                return Err(error);
            }
        }
    }

    /// Answers the connection to the upstream if it was upgraded.
    async fn exchange_over(
        &self,
        link: Link,
        attempt: &Attempt<'_>,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> Result<Option<Client>> {
        let Link { stream, timer } = link;
        let Attempt { server, pace, body, .. } = attempt;
        let mut silence = Silence { timer, limit: pace.first_byte, deadline: pace.deadline };
        let mut upstream = Client::new_with_options(stream, &server.peer);
        upstream.write_timeout = server.peer.options.write_timeout;
        let request = self.request_for(session.req_header(), attempt, context)?;
        let head = upstream.write_request_header(Box::new(request)).await;
        head.map_err(Error::into_up)?;
        if let Some(measuring) = &mut context.measuring {
            measuring.rewind();
            measuring.count(Passed::up(body.map_or(0, Bytes::len)));
            measuring.request_ended();
        }
        // A server that takes no more of the body may have answered.
        let sent = send_body(&mut upstream, *body).await.is_ok();
        let ended = self.answer_from(&mut upstream, attempt, &mut silence, session, context).await?;
        if upstream.was_upgraded() {
            return Ok(Some(upstream));
        }
        if !sent {
            return Ok(None);
        }
        upstream.respect_keepalive();
        if let Some(stream) = upstream.reuse().await {
            server.keep(Link { stream, timer: silence.timer }, ended);
        }
        Ok(None)
    }

    /// The body, if there is one, as pingora keeps it: it may have been read already.
    async fn whole_body(&self, session: &mut ServerSession, context: &Context) -> Result<Option<Bytes>> {
        if session.is_body_empty() {
            return Ok(None);
        }
        session.enable_retry_buffering();
        let mut bytes = 0;
        while let Some(piece) = session.read_request_body().await? {
            bytes += piece.len() as u64;
            self.hear(bytes, context)?;
        }
        Ok(session.get_retry_buffer())
    }

    /// The client's request as the upstream gets it.
    fn request_for(
        &self,
        from: &RequestHeader,
        attempt: &Attempt<'_>,
        context: &Context,
    ) -> Result<RequestHeader> {
        let (mut request, ()) = http::Request::new(()).into_parts();
        request.method = from.method.clone();
        request.uri = from.uri.clone();
        request.headers = with_room(&from.headers, |name| *name != header::CONNECTION);
        if request.headers.contains_key(header::UPGRADE) {
            request.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        self.forward(&mut request.headers, context)?;
        if let Some(host) = attempt.upstream.host(attempt.route, attempt.server) {
            request.headers.insert(header::HOST, host);
        }
        let mut request = RequestHeader::from(request);
        if let Some(path) = path_for(from, attempt.server, context) {
            request.set_raw_path(path.as_bytes())?;
        }
        Ok(request)
    }

    /// Reads the answer, and writes it as it comes. Answers when its last piece came: the header, for a WebSocket.
    async fn answer_from(
        &self,
        upstream: &mut Client,
        attempt: &Attempt<'_>,
        silence: &mut Silence,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> Result<Instant> {
        let mut header = loop {
            silence.unless_it_lasts(upstream.read_response(), session).await?;
            let Some(header) = upstream.resp_header() else {
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, "no header was read").into_up());
            };
            match header.status.as_u16() {
                101 if upstream.was_upgraded() => break answer_for(header),
                101 => return Err(unasked_upgrade()),
                100..=199 => {
                    let header = Box::new(header.clone());
                    taken(client(session)?.write_response_header(header)).await?;
                }
                _ => break answer_for(header),
            }
        };
        let mut ended = Instant::now();
        let method = session.req_header().method.clone();
        let status = header.status.as_u16();
        attempt.heard(status, &method, context)?;
        (silence.limit, silence.deadline) = (attempt.pace.read, None);
        frame(&method, &mut header, upstream.is_body_done());
        self.respond(status, &method, &mut header.headers, ended, context).await?;
        self.say_if_last(session, context);
        taken(client(session)?.write_response_header(Box::new(ResponseHeader::from(header)))).await?;
        if upstream.was_upgraded() {
            return Ok(ended);
        }
        match context.slices() {
            None => pass_body(upstream, silence, session, None, &mut ended).await?,
            Some(slices) => tokio::select! {
                biased;
                passed = pass_body(upstream, silence, session, Some(slices), &mut ended) => passed?,
                () = slices.watch() => return Err(Cut.error()),
            },
        }
        Ok(ended)
    }
}

/// Writes the answer's body as it comes. `ended` is when its last piece came.
async fn pass_body(
    upstream: &mut Client,
    silence: &mut Silence,
    session: &mut ServerSession,
    slices: Option<&Arc<Slices>>,
    ended: &mut Instant,
) -> Result<()> {
    while !upstream.is_body_done() {
        let Some(piece) = silence.unless_it_lasts(upstream.read_body_ref(), session).await? else {
            break;
        };
        if !piece.is_empty() {
            if let Some(slices) = slices {
                slices.deliver(piece).map_err(Cut::error)?;
                slices.granted().await;
            }
            let written = client(session)?.write_body(piece).await;
            if let (Some(slices), Err(_)) = (slices, &written) {
                slices.not_delivered(piece);
            }
            written.map_err(Error::into_down)?;
        }
        if !upstream.is_body_done() {
            *ended = Instant::now();
        }
    }
    taken(client(session)?.finish_body()).await?;
    Ok(())
}

/// The path and query that a server is asked for; none where they are those of the request.
pub(super) fn path_for(from: &RequestHeader, server: &Server, context: &Context) -> Option<String> {
    let asked = || from.uri.path_and_query().map_or("/", |asked| asked.as_str());
    let path = context.forwarded_path.as_deref();
    server.path(path.unwrap_or_else(asked)).or_else(|| path.map(str::to_owned))
}

async fn send_body(upstream: &mut Client, body: Option<&Bytes>) -> Result<()> {
    if let Some(body) = body {
        upstream.write_body(body).await?;
        upstream.finish_body().await?;
    }
    Ok(())
}

#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
pub(super) fn unasked_upgrade() -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, "an upgrade that nobody asked for").into_up()
}

/// How long a server may be silent, and the timer of its connection.
struct Silence {
    timer: Pin<Box<Sleep>>,
    limit: Duration,
    /// Of the answer's beginning.
    deadline: Option<Instant>,
}

impl Silence {
    /// What the upstream says, unless the client leaves or it takes too long. What is there already costs no timer.
    async fn unless_it_lasts<T>(
        &mut self,
        said: impl Future<Output = Result<T>>,
        session: &mut ServerSession,
    ) -> Result<T> {
        let mut armed = false;
        let lasts = poll_fn(|task| {
            if !armed {
                armed = true;
                let limit = Instant::now() + self.limit;
                let until = self.deadline.map_or(limit, |deadline| deadline.min(limit));
                self.timer.as_mut().reset(until.into());
            }
            self.timer.as_mut().poll(task)
        });
        tokio::select! {
            biased;
            said = said => said.map_err(Error::into_up),
            left = session.read_body_or_idle(true) => Err(match left {
                Err(error) => error.into_down(),
                Ok(_) => Error::explain(ErrorType::ConnectionClosed, "more than a request").into_down(),
            }),
            () = lasts => Err(Error::explain(ErrorType::ReadTimedout, "waiting for the upstream").into_up()),
        }
    }
}

/// The upstream's header as the client gets it.
fn answer_for(from: &ResponseHeader) -> Answer {
    let (mut answer, ()) = http::Response::new(()).into_parts();
    answer.status = from.status;
    answer.version = from.version;
    answer.headers = with_room(&from.headers, |_| true);
    answer
}

/// Those headers that pass, and room for as many as are added on either way.
fn with_room(from: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + MOST_ADDED);
    for (name, value) in from.iter().filter(|(name, _)| passes(name)) {
        headers.append(name.clone(), value.clone());
    }
    headers
}

/// The answer must end where the client can tell: a body that only its connection's end ends goes on in chunks.
fn frame(method: &Method, answer: &mut Answer, ended: bool) {
    let bodiless = *method == Method::HEAD || matches!(answer.status.as_u16(), 101 | 204 | 304);
    let framed = answer.headers.contains_key(header::TRANSFER_ENCODING)
        || answer.headers.contains_key(header::CONTENT_LENGTH);
    if !bodiless && !framed && !ended {
        answer.version = Version::HTTP_11;
        answer.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The client's side; a plain request came by HTTP/1.
fn client(session: &mut ServerSession) -> Result<&mut pingora::protocols::http::v1::server::HttpSession> {
    match session {
        ServerSession::H1(client) => Ok(client),
        _ => Err(Error::explain(ErrorType::InternalError, "a plain request comes by HTTP/1")),
    }
}
