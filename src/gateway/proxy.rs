//! The phases of a proxied request, in the order in which they run.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::domain::route::Route;
use crate::problem::{Code, Problem};

use super::admission::{Destination, Stopped};
use super::context::Context;
use super::counters::Counters;
use super::forwarding::TierHeaders;
use super::{Parts, RecordNumbers, Rooms, Settings, exchange, limits};
use std::sync::Arc;

/// A client that neither sends nor takes a byte for this long is gone.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);
/// What is left of a refused request's body is read for at most this long, to keep the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The proxy.
pub struct Gateway {
    parts: Parts,
}

impl Gateway {
    pub fn new(rooms: Rooms, numbers: RecordNumbers, settings: Settings, flow: Arc<super::Flow>) -> Self {
        let Rooms { catalogue, authenticator, customers, ledger, upstreams, api } = rooms;
        Self {
            parts: Parts {
                counters: Counters::new(&catalogue),
                tier_headers: TierHeaders::of(&catalogue),
                usage_costs: limits::usage_costs(&catalogue),
                catalogue,
                authenticator,
                customers,
                ledger,
                upstreams,
                api,
                numbers,
                settings,
                flow,
            },
        }
    }

    fn route(&self, context: &Context) -> Option<&Route> {
        context.route.map(|id| self.parts.catalogue.routes.get(id))
    }
}

/// Carries a problem through pingora's error path to `fail_to_proxy`.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
pub(super) fn fail(context: &mut Context, problem: Problem) -> Box<Error> {
    let error = Error::explain(ErrorType::HTTPStatus(problem.status()), problem.code.as_str());
    context.problem = Some(problem);
    error
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.parts.flow.clone())
    }

    /// No module touches a body: answers pass as the upstream sent them.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> Result<()> {
        // None means that the connection must close after this request: it stays so.
        // Zero: kept without a timer of pingora's; `connections` closes what rests for too long.
        if session.get_keepalive().is_some() {
            let draining = self.parts.flow.draining.load(Ordering::Relaxed);
            session.set_keepalive((!draining).then_some(0));
        }
        session.set_read_timeout(Some(CLIENT_TIMEOUT));
        session.set_write_timeout(Some(CLIENT_TIMEOUT));
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        if context.connection.client.is_some_and(|client| self.parts.trusts(client)) {
            let sent = session.get_header("x-request-id").and_then(|value| value.to_str().ok());
            let kept = sent.filter(|id| (1..=255).contains(&id.len()));
            context.foreign_request_id = kept.map(Into::into);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        match self.parts.admit(session, context).await {
            Ok(Destination::Upstream) => {
                context.forwarded_at = Instant::now();
                match self.route(context) {
                    Some(route) if exchange::is_plain(session.req_header()) => {
                        context.short_way = true;
                        self.parts.exchange(session, route, context).await.map(|()| true)
                    }
                    _ => Ok(false),
                }
            }
            Ok(Destination::Own) => {
                self.parts.answer_in_process(session, context).await?;
                Ok(true)
            }
            Err(Stopped::Refused(problem)) => {
                self.parts.refuse(session, &problem, None, context).await?;
                Ok(true)
            }
            Err(Stopped::BrokenOff(error)) => Err(error),
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Context,
    ) -> Result<()> {
        if let Some(passing) = &mut context.passing {
            passing.pass(body);
        }
        context.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if context.body_bytes > self.parts.settings.max_body {
            let problem = self.parts.body_too_large();
            return Err(fail(context, problem).into_down());
        }
        if end {
            Parts::body_has_passed(context);
        }
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        let Some(route) = self.route(context) else {
            return Err(Error::explain(ErrorType::InternalError, "forwarding needs a route"));
        };
        context.attempts += 1;
        Ok(Box::new(self.parts.upstreams.server(route.upstream).peer.clone()))
    }

    /// A connection that could not be made has carried nothing: another attempt is safe for every method.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let retries = self.route(context).map_or(0, |route| self.parts.upstreams.retries(route.upstream));
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
        _context: &mut Context,
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
        context: &mut Context,
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
        self.parts.forward(request, context)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        let status = response.status.as_u16();
        // Informational answers pass; a switch of protocols is final.
        if response.status.is_informational() && status != 101 {
            return Ok(());
        }
        let method = session.req_header().method.clone();
        self.parts.respond(status, &method, response, Instant::now(), context).await
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let problem = context.problem.take().or_else(|| problem_of(error));
        if answered(session).is_none() {
            // What the client never saw, or sees as a problem, is not charged.
            self.parts.undo(context);
        }
        let error_code = problem.as_ref().map_or(0, Problem::status);
        // On pingora's way the connection is closed once an upstream was tried and failed: the answer says so.
        let reusable = context.short_way && problem.is_some() && answered(session).is_none();
        if !reusable {
            session.set_keepalive(None);
        }
        if let (Some(problem), None) = (&problem, answered(session))
            && let Err(unwritten) = self.parts.refuse(session, problem, Some(error), context).await
        {
            tracing::debug!(%unwritten, "a refusal could not be written");
        }
        FailToProxy { error_code, can_reuse_downstream: reusable }
    }

    /// Pingora would log what `logging` below logs.
    fn suppress_error_log(&self, _session: &Session, _context: &Context, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _context: &Context,
        _error: &Error,
        _warning: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    /// For what pingora logs all the same: no path and no query, which may hold secrets.
    fn request_summary(&self, session: &Session, context: &Context) -> String {
        let route = self.parts.pattern(context);
        format!("{} {route} {}", session.req_header().method, context.request_id)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Context) {
        let status = answered(session);
        if let Some(error) = error {
            let request_ended = session.as_downstream_mut().is_body_done();
            let upstream_died = error.esource == ErrorSource::Upstream && request_ended;
            if upstream_died || status.is_none() {
                self.parts.undo(context);
            }
            if !context.refused {
                tracing::info!(
                    error = error.etype.as_str(),
                    source = error.esource.as_str(),
                    route = self.parts.pattern(context),
                    status,
                    request_id = %context.request_id,
                    "request failed"
                );
            }
        }
        let seconds = context.started.elapsed().as_secs_f64();
        self.parts.counters.answered(context.route, status.unwrap_or(499), seconds);
    }
}

/// The status of the answer that the client sees; an informational one is none, a switch of protocols is.
pub(super) fn answered(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status.as_u16() == 101).then_some(status.as_u16())
}

/// What an error of pingora means to the client; none when the client itself is gone.
fn problem_of(error: &Error) -> Option<Problem> {
    use ErrorType::{ConnectTimedout, ReadTimedout, TLSHandshakeTimedout, WriteTimedout};
    match (&error.esource, &error.etype) {
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout) => {
            Some(Problem::new(Code::UpstreamTimeout, "the API did not answer in time; nothing was charged"))
        }
        (ErrorSource::Upstream, _) => Some(Problem::new(
            Code::UpstreamFailed,
            "the API could not be reached or broke off; nothing was charged",
        )),
        (ErrorSource::Downstream, ErrorType::HTTPStatus(_)) => {
            Some(Problem::new(Code::BadRequest, "the request could not be read"))
        }
        (ErrorSource::Downstream, _) => None,
        _ => Some(Problem::new(Code::Internal, "something went wrong here; nothing was charged")),
    }
}
