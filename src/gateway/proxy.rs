//! Pingora's own way, for requests that ask for more than `exchange` gives: long or chunked bodies, expectations. Its
//! phases, in the order in which they run. Nothing is upgraded here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::live::Live;

use super::admission::Destination;
use super::answer::linger;
use super::connections::Connection;
use super::context::Context;
use super::measuring::Passed;
use super::phases::{answered, fail};
use super::slices::Cut;
use super::upload::Upload;
use super::upstreams::Outcome;
use super::{Parts, exchange, framing};

/// The gateway as pingora's proxy calls it.
pub struct Gateway(pub(super) Arc<Live<Parts>>);

/// A request, and the parts that it goes through: those of its beginning, whatever is replaced meanwhile.
pub struct Request {
    parts: Arc<Parts>,
    context: Context,
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// In a box: pingora moves it into each of its futures.
    type CTX = Box<Request>;

    fn new_ctx(&self) -> Box<Request> {
        let parts = self.0.now();
        let mut context = Context::new(parts.flow.clone(), Connection::current());
        context.upload = Upload::current();
        Box::new(Request { parts, context })
    }

    /// No module touches a body: answers pass as the upstream sent them.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, here: &mut Box<Request>) -> Result<bool> {
        let Request { parts, context } = &mut **here;
        let session = session.as_downstream_mut();
        parts.begin(session, context);
        let settled = framing::settle(session.req_header_mut());
        if let Err(problem) = settled {
            return Err(fail(context, problem).into_down());
        }
        Ok(parts.decide(session, context).await? == Destination::Own)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        here: &mut Box<Request>,
    ) -> Result<()> {
        let Request { parts, context } = &mut **here;
        if let Some(passing) = &mut context.passing {
            passing.pass(body);
        }
        if let Some(piece) = &*body {
            if let Some(slices) = context.slices() {
                slices.sent(piece).map_err(Cut::error)?;
            } else if let Some(measuring) = &mut context.measuring {
                measuring.count(Passed::up(piece.len()));
            }
        }
        context.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if let Some(route) = parts.route_of(context)
            && let Err(problem) = parts.check_body(route, context.body_bytes)
        {
            return Err(fail(context, problem).into_down());
        }
        parts.hear(context.body_bytes, context)?;
        if end {
            context.body_is_over();
            if let Some(measuring) = &mut context.measuring {
                measuring.request_ended();
            }
            parts.body_has_passed(context).await;
        }
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, here: &mut Box<Request>) -> Result<Box<HttpPeer>> {
        let Request { parts, context } = &mut **here;
        let Some(route) = parts.route_of(context) else {
            return Err(Error::explain(ErrorType::InternalError, "forwarding needs a route"));
        };
        let upstream = parts.upstreams.get(route.upstream);
        let pace = upstream.pace(route, context);
        context.attempts += 1;
        // The last attempt's is busy with it no more.
        context.server = None;
        let server = upstream.turn(context)?.into_picked();
        let peer = server.peer_for(&pace);
        context.server = Some(server);
        Ok(peer)
    }

    /// A connection that could not be made has carried nothing: another attempt is safe for every method.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        here: &mut Box<Request>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let Request { parts, context } = &mut **here;
        let (Some(route), Some(server)) = (parts.route_of(context), context.server.take()) else {
            return error;
        };
        let upstream = parts.upstreams.get(route.upstream);
        upstream.note(&server, Outcome::Unconnected);
        error.set_retry(upstream.connects_again(&server, &upstream.pace(route, context), context));
        error
    }

    /// A kept connection that the server had closed is no answer: another one is asked, unless what was asked may
    /// have been done (RFC 9110, section 9.2.2).
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        here: &mut Box<Request>,
        reused: bool,
    ) -> Box<Error> {
        let Request { parts, context } = &mut **here;
        error.set_retry(false);
        let (Some(route), Some(server)) = (parts.route_of(context), context.server.take()) else {
            return error;
        };
        // An answer that was charged for has begun, though its header may not have gone out.
        if answered(session.as_downstream()).is_some() || context.is_charged() {
            return error;
        }
        let upstream = parts.upstreams.get(route.upstream);
        upstream.note_error(&server, &error);
        let pace = upstream.pace(route, context);
        let whole = !session.as_ref().retry_buffer_truncated();
        let how = (&session.req_header().method, reused, &*error);
        let again = whole && upstream.sends_again(&server, &pace, how, context);
        error.set_retry(again);
        error
    }

    /// An answer upon which another server is asked goes no further.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        here: &mut Box<Request>,
    ) -> Result<()> {
        let Request { parts, context } = &mut **here;
        let (Some(route), Some(server)) = (parts.route_of(context), &context.server) else { return Ok(()) };
        if response.status.is_informational() {
            return Ok(());
        }
        let upstream = parts.upstreams.get(route.upstream);
        let status = response.status.as_u16();
        upstream.note(server, Outcome::Answered(status));
        if session.as_ref().retry_buffer_truncated() {
            return Ok(());
        }
        let (method, pace) = (&session.req_header().method, upstream.pace(route, context));
        upstream.take_or_ask_another(status, method, &pace, context)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        here: &mut Box<Request>,
    ) -> Result<()> {
        let Request { parts, context } = &mut **here;
        // Counted and digested anew on each attempt.
        context.body_bytes = 0;
        if let Some(upload) = &context.upload {
            upload.note();
        }
        if let Some(measuring) = &mut context.measuring {
            measuring.rewind();
        }
        if let Some(passing) = &mut context.passing {
            passing.rewind();
        }
        if context.read_ahead {
            // The client has been told to go on.
            request.remove_header(&header::EXPECT);
        }
        keep_authority(request)?;
        parts.forward(request, context)?;
        let (Some(route), Some(server)) = (parts.route_of(context), &context.server) else { return Ok(()) };
        if let Some(host) = parts.upstreams.get(route.upstream).host(route, server) {
            request.insert_header(header::HOST, host)?;
        }
        if let Some(path) = exchange::path_for(request, server, context) {
            request.set_raw_path(path.as_bytes())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        here: &mut Box<Request>,
    ) -> Result<()> {
        let Request { parts, context } = &mut **here;
        let status = response.status.as_u16();
        // Informational answers pass; a switch of protocols was not asked for.
        if status == 101 {
            return Err(exchange::unasked_upgrade());
        }
        if response.status.is_informational() {
            return Ok(());
        }
        context.body_is_over();
        let method = session.req_header().method.clone();
        parts.respond(status, &method, response, Instant::now(), context).await?;
        parts.say_if_last(session.as_downstream_mut(), context);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        here: &mut Box<Request>,
    ) -> Result<Option<Duration>> {
        if let (Some(slices), Some(piece)) = (here.context.slices(), &*body) {
            slices.deliver(piece).map_err(Cut::error)?;
        }
        Ok(None)
    }

    /// Of an upstream that speaks HTTP/2: what a call of gRPC came to.
    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        here: &mut Box<Request>,
    ) -> Result<Option<Bytes>> {
        if let Some(slices) = here.context.slices() {
            slices.hear_status(trailers);
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        here: &mut Box<Request>,
    ) -> FailToProxy {
        let Request { parts, context } = &mut **here;
        // Pingora closes the connection once an upstream was tried and failed: the answer says so.
        let failed = parts.fail(session.as_downstream_mut(), error, false, context).await;
        FailToProxy { error_code: failed.status, can_reuse_downstream: failed.reusable }
    }

    /// Pingora would log what `logging` below logs.
    fn suppress_error_log(&self, _session: &Session, _here: &Box<Request>, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _here: &Box<Request>,
        _error: &Error,
        _warning: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    /// For what pingora logs all the same: no path and no query, which may hold secrets.
    fn request_summary(&self, session: &Session, here: &Box<Request>) -> String {
        let Request { parts, context } = &**here;
        let route = parts.pattern(context);
        format!("{} {route} {}", session.req_header().method, context.request_id)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, here: &mut Box<Request>) {
        let Request { parts, context } = &mut **here;
        if let (Some(upload), Some(_)) = (&context.upload, answered(session.as_downstream())) {
            upload.answer();
        }
        parts.end(session.as_downstream_mut(), error, context);
        linger(session.as_downstream_mut(), context.refused).await;
    }
}

/// What a request of HTTP/2 says of its host stands in its URI, where another path would take its place.
fn keep_authority(request: &mut RequestHeader) -> Result<()> {
    let authority = request.uri.authority().filter(|_| !request.headers.contains_key(header::HOST));
    match authority.map(|authority| authority.as_str().to_owned()) {
        Some(authority) => request.insert_header(header::HOST, authority),
        None => Ok(()),
    }
}
