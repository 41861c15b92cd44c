//! What every request goes through, whichever way it takes to the upstream: it begins, is decided over, may fail, and
//! is counted when it has ended.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::domain::route::Route;
use crate::problem::{Code, Problem};

use super::admission::{Destination, Stopped};
use super::context::Context;
use super::measuring::Measuring;
use super::{Parts, debug, grpc};

/// A client that does not take a header for this long is gone; for bodies `server.body_timeout` holds.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);
/// For so long a body may come more slowly than `server.min_body_rate`.
const SLOW_START: Duration = Duration::from_secs(30);
/// What is left of a refused request's body is read for at most this long, to keep the connection.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of pingora's error for a body whose chunks it cannot read.
const INVALID_CHUNK: &str = "InvalidChunk";

impl Parts {
    pub(super) fn route_of(&self, context: &Context) -> Option<&Route> {
        context.route.map(|id| self.catalogue.routes.get(id))
    }

    pub(super) fn begin(&self, session: &mut ServerSession, context: &mut Context) {
        // None means that the connection must close after this request: it stays so. Zero: it is kept without a timer
        // of pingora's; `connections` closes what rests for too long.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(0));
        }
        self.say_if_last(session, context);
        let silence = Some(self.settings.limits.body_timeout);
        session.set_read_timeout(silence);
        session.set_write_timeout(silence);
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        context.by_proxy = context.connection.client.is_some_and(|client| self.trusts(client));
        if let Some(traces) = &self.traces {
            context.trace = Some(Box::new(traces.trace(&session.req_header().headers, context.by_proxy)));
        }
        if context.by_proxy {
            let sent = session.get_header("x-request-id").and_then(|value| value.to_str().ok());
            let kept = sent.filter(|id| (1..=255).contains(&id.len()));
            context.foreign_request_id = kept.map(Into::into);
        }
    }

    /// Before an answer's header: whether another request may follow it on this connection.
    pub(super) fn say_if_last(&self, session: &mut ServerSession, context: &Context) {
        if context.connection.closes() || self.flow.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
    }

    /// Another piece of the body has come, so many bytes by now: an error where that is too slow.
    pub(super) fn hear(&self, bytes: u64, context: &Context) -> Result<()> {
        if let Some(upload) = &context.upload {
            upload.note();
        }
        let Some(rate) = self.settings.limits.min_body_rate else { return Ok(()) };
        let took = context.started.elapsed();
        if took > SLOW_START && u128::from(bytes) * 1_000 < u128::from(rate) * took.as_millis() {
            return Err(Error::explain(ErrorType::ReadTimedout, "the body comes too slowly").into_down());
        }
        Ok(())
    }

    /// Refuses the request, or answers it here, or says that it goes to its route's upstream.
    pub(super) async fn decide(
        &self,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> Result<Destination> {
        match self.admit(session, context).await {
            Ok(Destination::Upstream) => {
                context.measuring = self.route_of(context).and_then(Measuring::begin);
                context.forwarded_at = Instant::now();
                return Ok(Destination::Upstream);
            }
            // Rarely taken, and large: in boxes.
            Ok(Destination::Own) => Box::pin(self.answer_in_process(session, context)).await?,
            Ok(Destination::Browser) => Box::pin(self.answer_preflight(session, context)).await?,
            Err(Stopped::Refused(problem)) => {
                Box::pin(self.refuse(session, &problem, None, context)).await?;
            }
            Err(Stopped::BrokenOff(error)) => return Err(error),
        }
        Ok(Destination::Own)
    }

    /// Answers a failure where the client can still be told. `open`: the connection could go on.
    pub(super) async fn fail(
        &self,
        session: &mut ServerSession,
        error: &Error,
        open: bool,
        context: &mut Context,
    ) -> Failed {
        let cut = context.slices().and_then(|slices| slices.cut());
        let problem = context.problem.take().or_else(|| cut.clone()).or_else(|| problem_of(error));
        let silent = answered(session).is_none();
        if let (Some(problem), false) = (&cut, silent) {
            grpc::end(session, problem);
        }
        if silent {
            // What the client never saw, or sees as a problem, is not charged.
            self.undo(context);
        }
        let reusable = open && silent && problem.is_some();
        if !reusable {
            session.set_keepalive(None);
        }
        if let (Some(problem), true) = (&problem, silent)
            && let Err(unwritten) = self.refuse(session, problem, Some(error), context).await
        {
            tracing::debug!(%unwritten, "a refusal could not be written");
            return Failed { status: problem.status(), reusable: false };
        }
        Failed { status: problem.as_ref().map_or(0, Problem::status), reusable }
    }

    /// The request is over, for better or worse.
    pub(super) fn end(&self, session: &mut ServerSession, error: Option<&Error>, context: &mut Context) {
        let status = answered(session);
        if let Some(error) = error {
            let upstream_died = error.esource == ErrorSource::Upstream && session.is_body_done();
            if upstream_died || status.is_none() {
                self.undo(context);
            }
            if context.refused.is_none() {
                tracing::info!(
                    error = error.etype.as_str(),
                    source = error.esource.as_str(),
                    route = self.pattern(context),
                    status,
                    request_id = %context.request_id,
                    "request failed"
                );
            }
        }
        let took = context.started.elapsed();
        // What follows a switch of protocols is still to come.
        if status != Some(101) {
            context.settle_truth();
        }
        self.counters.answered(context.route, status.unwrap_or(499), took);
        self.log_access(session, status, error.map(|error| error.etype.as_str()), took, context);
        self.trace_ended(session, status, took, context);
        if debug::is_on() {
            self.debug_ended(session, status, error, took, context);
        }
    }
}

/// What the client takes, unless it takes nothing for too long. Pingora's sessions limit bodies only. What is taken at
/// once costs no timer.
pub(super) async fn taken<T>(written: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::pin!(written);
    let at_once = poll_fn(|task| {
        Poll::Ready(match written.as_mut().poll(task) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    });
    let done = match at_once.await {
        Some(done) => Ok(done),
        None => tokio::time::timeout(CLIENT_TIMEOUT, written).await,
    };
    done.unwrap_or_else(|_| Err(Error::explain(ErrorType::WriteTimedout, "the client takes nothing")))
        .map_err(Error::into_down)
}

/// A body that does not come.
pub(super) fn body_too_slow() -> Problem {
    Problem::new(Code::RequestTimeout, "the body did not come in time; nothing was charged")
}

/// What has become of a failed request.
pub(super) struct Failed {
    /// 0 where nobody is there to be told.
    pub status: u16,
    pub reusable: bool,
}

/// Carries a problem through an error to [`Parts::fail`].
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
pub(super) fn fail(context: &mut Context, problem: Problem) -> Box<Error> {
    let error = Error::explain(ErrorType::HTTPStatus(problem.status()), problem.code.as_str());
    context.problem = Some(problem);
    error
}

/// The status of the answer that the client sees; an informational one is none, a switch of protocols is.
pub(super) fn answered(session: &ServerSession) -> Option<u16> {
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
        (ErrorSource::Downstream, ReadTimedout) => Some(body_too_slow()),
        (ErrorSource::Downstream, ErrorType::HTTPStatus(_) | ErrorType::InvalidHTTPHeader) => {
            Some(Problem::new(Code::BadRequest, "the request could not be read"))
        }
        (ErrorSource::Downstream, broken) if broken.as_str() == INVALID_CHUNK => {
            Some(Problem::new(Code::BadRequest, "the body's chunks could not be read"))
        }
        (ErrorSource::Downstream, _) => None,
        _ => Some(Problem::new(Code::Internal, "something went wrong here; nothing was charged")),
    }
}
