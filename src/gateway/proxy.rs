//! Pingora's own way, for requests that ask for more than `exchange` gives: long or chunked bodies, expectations. Its
//! phases, in the order in which they run. Nothing is upgraded here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::live::Live;

use super::admission::Destination;
use super::connections::Connection;
use super::context::Context;
use super::phases::fail;
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
        let context = Context::new(parts.flow.clone(), Connection::current());
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
        if let (Some(measuring), Some(piece)) = (&mut context.measuring, &*body) {
            measuring.sent(piece);
        }
        context.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if context.body_bytes > parts.settings.max_body {
            let problem = parts.body_too_large();
            return Err(fail(context, problem).into_down());
        }
        if end {
            Parts::body_has_passed(context);
        }
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, here: &mut Box<Request>) -> Result<Box<HttpPeer>> {
        let Request { parts, context } = &mut **here;
        let Some(route) = parts.route_of(context) else {
            return Err(Error::explain(ErrorType::InternalError, "forwarding needs a route"));
        };
        context.attempts += 1;
        Ok(Box::new(parts.upstreams.server(route.upstream).peer.clone()))
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
        let retries = parts.route_of(context).map_or(0, |route| parts.upstreams.retries(route.upstream));
        error.set_retry(context.attempts <= retries);
        error
    }

    /// A kept connection that the server had closed is no answer: another one is asked, unless what was asked may
    /// have been done (RFC 9110, section 9.2.2).
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        _here: &mut Box<Request>,
        reused: bool,
    ) -> Box<Error> {
        let whole = !session.as_ref().retry_buffer_truncated();
        error.retry.decide_reuse(reused && whole && session.req_header().method.is_idempotent());
        error
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
        if let Some(path) = &context.forwarded_path {
            request.set_raw_path(path.as_bytes())?;
        }
        parts.forward(request, context)
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
        if let (Some(measuring), Some(piece)) = (&mut here.context.measuring, &*body) {
            measuring.delivered(piece);
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
        parts.end(session.as_downstream_mut(), error, context);
    }
}
