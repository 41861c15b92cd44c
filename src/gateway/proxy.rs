//! Pingora's own way, for requests that ask for more than `exchange` gives: long or chunked bodies, expectations. Its
//! phases, in the order in which they run. Nothing is upgraded here.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::header;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::admission::Destination;
use super::connections::Connection;
use super::context::Context;
use super::phases::fail;
use super::{Parts, exchange};

/// The gateway as pingora's proxy calls it.
pub struct Gateway(pub(super) Arc<Parts>);

impl Deref for Gateway {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// In a box: pingora moves it into each of its futures.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        Box::new(Context::new(self.flow.clone(), Connection::current()))
    }

    /// No module touches a body: answers pass as the upstream sent them.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, context: &mut Box<Context>) -> Result<bool> {
        let session = session.as_downstream_mut();
        self.begin(session, context);
        Ok(self.decide(session, context).await? == Destination::Own)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Box<Context>,
    ) -> Result<()> {
        if let Some(passing) = &mut context.passing {
            passing.pass(body);
        }
        context.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if context.body_bytes > self.settings.max_body {
            let problem = self.body_too_large();
            return Err(fail(context, problem).into_down());
        }
        if end {
            Parts::body_has_passed(context);
        }
        Ok(())
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        context: &mut Box<Context>,
    ) -> Result<Box<HttpPeer>> {
        let Some(route) = self.route_of(context) else {
            return Err(Error::explain(ErrorType::InternalError, "forwarding needs a route"));
        };
        context.attempts += 1;
        Ok(Box::new(self.upstreams.server(route.upstream).peer.clone()))
    }

    /// A connection that could not be made has carried nothing: another attempt is safe for every method.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Box<Context>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let retries = self.route_of(context).map_or(0, |route| self.upstreams.retries(route.upstream));
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
        _context: &mut Box<Context>,
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
        context: &mut Box<Context>,
    ) -> Result<()> {
        // Counted and digested anew on each attempt.
        context.body_bytes = 0;
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
        self.forward(request, context)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Box<Context>,
    ) -> Result<()> {
        let status = response.status.as_u16();
        // Informational answers pass; a switch of protocols was not asked for.
        if status == 101 {
            return Err(exchange::unasked_upgrade());
        }
        if response.status.is_informational() {
            return Ok(());
        }
        let method = session.req_header().method.clone();
        self.respond(status, &method, response, Instant::now(), context).await?;
        self.say_if_last(session.as_downstream_mut(), context);
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Box<Context>,
    ) -> FailToProxy {
        // Pingora closes the connection once an upstream was tried and failed: the answer says so.
        let failed = self.fail(session.as_downstream_mut(), error, false, context).await;
        FailToProxy { error_code: failed.status, can_reuse_downstream: failed.reusable }
    }

    /// Pingora would log what `logging` below logs.
    fn suppress_error_log(&self, _session: &Session, _context: &Box<Context>, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _context: &Box<Context>,
        _error: &Error,
        _warning: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    /// For what pingora logs all the same: no path and no query, which may hold secrets.
    fn request_summary(&self, session: &Session, context: &Box<Context>) -> String {
        let route = self.pattern(context);
        format!("{} {route} {}", session.req_header().method, context.request_id)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Box<Context>) {
        self.end(session.as_downstream_mut(), error, context);
    }
}
