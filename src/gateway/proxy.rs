//! The phases of a proxied request, in the order in which they run.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::domain::route::Route;
use crate::problem::{Code, Problem};

use super::admission::{Destination, Stopped};
use super::context::{Charge, Context};
use super::counters::Counters;
use super::forwarding::TierHeaders;
use super::{Parts, RecordNumbers, Rooms, Settings, limits};
use crate::metrics::METRICS;
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

    /// Carries a problem through pingora's error path to `fail_to_proxy`.
    #[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
    fn fail(context: &mut Context, problem: Problem) -> Box<Error> {
        let error = Error::explain(ErrorType::HTTPStatus(problem.status()), problem.code.as_str());
        context.problem = Some(problem);
        error
    }
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
        if session.get_keepalive().is_some() {
            let draining = self.parts.flow.draining.load(Ordering::Relaxed);
            session.set_keepalive((!draining).then_some(self.parts.settings.keepalive_seconds));
        }
        session.set_read_timeout(Some(CLIENT_TIMEOUT));
        session.set_write_timeout(Some(CLIENT_TIMEOUT));
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        let client = session.client_addr().and_then(|address| Some(address.as_inet()?.ip()));
        if client.is_some_and(|client| self.parts.trusts(client)) {
            let sent = session.get_header("x-request-id").and_then(|value| value.to_str().ok());
            let kept = sent.filter(|id| (1..=255).contains(&id.len()));
            context.foreign_request_id = kept.map(Into::into);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        match self.parts.admit(session, context).await {
            Ok(Destination::Upstream) => {
                let own = context.started.elapsed().saturating_sub(context.waited);
                METRICS.gateway_seconds.observe(own);
                Ok(false)
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
            return Err(Self::fail(context, problem).into_down());
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
        Ok(self.parts.upstreams.peer(route.upstream))
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

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        // Counted and digested anew on each attempt.
        context.body_bytes = 0;
        if let Some(passing) = &mut context.passing {
            passing.rewind();
        }
        let client = session.client_addr().and_then(|address| Some(address.as_inet()?.ip()));
        self.parts.forward(request, client, context)
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
        response.insert_header("x-request-id", context.shown_request_id())?;
        response.remove_header("x-usage-cost");
        let Some(route) = self.route(context) else { return Ok(()) };
        let entry = match &context.charge {
            Charge::Held(reservation) if !route.cost.is_free() => reservation.entry().clone(),
            _ => return Ok(()),
        };
        let method = &session.req_header().method;
        if let Err(problem) = self.parts.charge(route, status, method, context).await {
            return Err(Self::fail(context, problem));
        }
        if let Charge::Recorded(recorded) = &context.charge {
            let cost = limits::usage_cost(&self.parts, route, &recorded.settled.charge);
            response.insert_header("x-usage-cost", cost)?;
        }
        let policies = entry.policies(route, self.parts.catalogue.currency, context.settle_at());
        for (name, value) in self.parts.limit_headers(&policies) {
            response.insert_header(name, value)?;
        }
        Ok(())
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
        // Pingora closes the connection once an upstream was tried and failed: the answer says so.
        session.set_keepalive(None);
        if let (Some(problem), None) = (&problem, answered(session))
            && let Err(unwritten) = self.parts.refuse(session, problem, Some(error), context).await
        {
            tracing::debug!(%unwritten, "a refusal could not be written");
        }
        FailToProxy { error_code, can_reuse_downstream: false }
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
        self.parts.counters.answered(context.route, status.unwrap_or(499), context.started.elapsed());
    }
}

/// The status of the answer that the client sees; an informational one is none, a switch of protocols is.
fn answered(session: &Session) -> Option<u16> {
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
