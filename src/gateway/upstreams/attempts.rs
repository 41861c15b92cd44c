//! Attempts at an upstream: how long they may take, how they end, and when there is another one.
//!
//! # What it promises
//!
//! - What could not be connected has carried nothing: another attempt is safe for every method.
//! - What may have arrived is sent again only if doing it twice is doing it once (RFC 9110, section 9.2.2).
//! - An attempt that broke off, or was answered so that another server should be asked, leaves its server out of the
//!   next choice.

use std::time::{Duration, Instant};

use http::Method;
use pingora::{Error, ErrorSource, ErrorType};

use crate::config;
use crate::domain::route::Route;
use crate::metrics::METRICS;
use crate::metrics::hot::HotCounter;

use crate::gateway::context::Context;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Outcome {
    Answered(u16),
    Unconnected,
    TimedOut,
    BrokeOff,
}

impl Outcome {
    /// Of an attempt on a connection; none where the upstream is not to blame, or its answer has been noted.
    pub fn of(error: &Error) -> Option<Self> {
        match (&error.esource, &error.etype) {
            _ if is_in_vain(error) => None,
            (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
                Some(Self::TimedOut)
            }
            (ErrorSource::Upstream, _) => Some(Self::BrokeOff),
            _ => None,
        }
    }

    /// Whether it speaks against the server.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Answered(status) if !(502..=504).contains(&status))
    }
}

/// The metrics of attempts, looked up once.
pub(super) struct Counted {
    answered: HotCounter,
    unconnected: HotCounter,
    timed_out: HotCounter,
    broke_off: HotCounter,
}

impl Counted {
    pub fn new(upstream: &str) -> Self {
        let counter = |outcome| METRICS.upstream_attempts.with_label_values(&[upstream, outcome]);
        Self {
            answered: counter("answered"),
            unconnected: counter("unconnected"),
            timed_out: counter("timed_out"),
            broke_off: counter("broke_off"),
        }
    }

    pub fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Answered(_) => self.answered.inc(),
            Outcome::Unconnected => self.unconnected.inc(),
            Outcome::TimedOut => self.timed_out.inc(),
            Outcome::BrokeOff => self.broke_off.inc(),
        }
    }
}

/// How long the steps of a request may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Pace {
    /// Until the answer begins.
    pub first_byte: Duration,
    /// Between its pieces.
    pub read: Duration,
    /// When the answer must have begun, with all attempts.
    pub deadline: Option<Instant>,
    /// Of both sides of a WebSocket.
    pub idle: Duration,
}

impl Pace {
    pub fn new(plan: &config::Upstream, route: &Route, context: &Context) -> Self {
        let upstream = &plan.timeouts;
        let own = route.extras.as_ref().map(|extras| extras.timeouts).unwrap_or_default();
        let read = own.read.unwrap_or(upstream.read);
        let total = own.total.or(upstream.total);
        Self {
            // A route has one limit for both.
            first_byte: upstream.first_byte.filter(|_| own.read.is_none()).unwrap_or(read),
            read,
            deadline: total.map(|total| context.forwarded_at + total),
            idle: own.idle.unwrap_or(upstream.idle),
        }
    }

    /// How long is left of a limit.
    pub fn left_of(&self, limit: Duration) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map_or(limit, |deadline| left(deadline).min(limit))
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

/// Whether there is another attempt when no connection could be made.
pub(super) fn connects_again(plan: &config::Upstream, pace: &Pace, context: &Context) -> bool {
    context.attempts <= plan.retries && !pace.is_over()
}

/// Whether a request is sent again that may have arrived. One more time than `retries` say if the connection was kept
/// from before: the server may have closed it for its age.
pub(super) fn sends_again(
    plan: &config::Upstream,
    pace: &Pace,
    method: &Method,
    reused: bool,
    context: &Context,
) -> bool {
    let left = context.attempts <= plan.retries || (reused && context.attempts == 1);
    left && method.is_idempotent() && !pace.is_over()
}

/// Whether an attempt ended so that the server has said nothing, and will not.
pub(super) fn broke_off(error: &Error) -> bool {
    use ErrorType::{ConnectionClosed, H2Downgrade, H2Error, InvalidH2, ReadError, WriteError};
    let closed =
        matches!(error.etype, ConnectionClosed | H2Downgrade | H2Error | InvalidH2 | ReadError | WriteError);
    error.esource == ErrorSource::Upstream && closed
}

/// What is said instead of an answer upon which another server is asked.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
pub(super) fn answered_in_vain(status: u16) -> Box<Error> {
    let mut error = Error::explain(ErrorType::HTTPStatus(status), "another server is asked").into_up();
    error.set_retry(true);
    error
}

pub(super) fn is_in_vain(error: &Error) -> bool {
    error.esource == ErrorSource::Upstream && matches!(error.etype, ErrorType::HTTPStatus(_))
}
