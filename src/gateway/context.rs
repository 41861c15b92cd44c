//! What the phases of one request hand to each other.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::auth::Identity;
use crate::clock;
use crate::customers::{Reservation, Settled};
use crate::domain::route::RouteId;
use crate::domain::usage::Now;
use crate::ledger::Record;
use crate::problem::{Code, Problem};

use super::connections::Connection;
use super::idempotency::PassingBody;
use super::limits::LimitHeaders;
use super::measuring::Measuring;
use super::slices::Slices;
use super::traces::Trace;
use super::upload::Upload;
use super::upstreams::Picked;
use super::{Flow, RequestId};

/// How far the charge of a request has come.
#[derive(Default)]
#[expect(clippy::large_enum_variant, reason = "one per request, never moved in bulk")]
pub(super) enum Charge {
    /// Nothing is held: a free or public route, a refusal, a preflight.
    #[default]
    None,
    /// Admitted, and not answered yet. Dropping it releases the units: the last net, since `logging` does not run
    /// when a runtime is torn down.
    Held(Reservation),
    /// Recorded.
    Recorded(Recorded),
    /// Recorded as an estimate; the exchange goes on.
    Open(Arc<Slices>),
}

/// A charge in the ledger.
pub(super) struct Recorded {
    pub reservation: Reservation,
    pub settled: Settled,
    pub record: Record,
}

/// The context of one request.
pub struct Context {
    pub(super) request_id: RequestId,
    /// As sent by a trusted proxy; shown instead of ours, and kept beside it.
    pub(super) foreign_request_id: Option<Box<str>>,
    /// The connection is that of a trusted proxy.
    pub(super) by_proxy: bool,
    pub(super) now: Now,
    pub(super) started: Instant,
    /// When the decision was made and the upstream's turn began.
    pub(super) forwarded_at: Instant,
    /// None where nothing is traced.
    pub(super) trace: Option<Box<Trace>>,
    /// When the upstream's header had been read.
    pub(super) answered_at: Option<Instant>,
    /// The gateway's own time until its answer's header, of what is charged.
    pub(super) own: Option<Duration>,
    /// How long that took of it which comes behind the upstream's header.
    pub(super) charged_in: Option<Duration>,
    pub(super) connection: Arc<Connection>,
    pub(super) route: Option<RouteId>,
    pub(super) identity: Option<Arc<Identity>>,
    /// The store's number of who calls; 0 when tokens do not say.
    pub(super) member: u32,
    pub(super) charge: Charge,
    /// The path and query to forward, where they differ from what the client sent.
    pub(super) forwarded_path: Option<String>,
    /// Attempts at an upstream.
    pub(super) attempts: usize,
    /// The server of the last attempt.
    pub(super) asked: Option<SocketAddr>,
    /// Servers that are not to be asked again where there are others.
    pub(super) tried: Vec<SocketAddr>,
    /// The server of the attempt, on pingora's way.
    pub(super) server: Option<Picked>,
    pub(super) body_bytes: u64,
    /// The body on its way, by HTTP/2.
    pub(super) upload: Option<Arc<Upload>>,
    /// Where the exchange itself tells what it costs, until it is charged.
    pub(super) measuring: Option<Box<Measuring>>,
    /// The body was asked for and read before the decision, and how long the client took for it.
    pub(super) read_ahead: bool,
    pub(super) waited: Duration,
    /// A body that gives the idempotency key its digest while it passes.
    pub(super) passing: Option<Box<PassingBody>>,
    /// What a refusal carries: `RateLimit` and `RateLimit-Policy`, once they are known; leave for browsers to read it.
    pub(super) shown_headers: LimitHeaders,
    /// What an answer tells the page that asked; none where that may not read it, or the route knows of no pages.
    pub(super) granted: Option<HeaderValue>,
    /// The problem that has been answered.
    pub(super) refused: Option<Code>,
    /// What that said, where somebody debugs.
    pub(super) why: Option<Cow<'static, str>>,
    /// What a limit had refused it for, where it is served all the same.
    pub(super) in_shadow: Option<Code>,
    /// What a later phase answers instead of the upstream's response.
    pub(super) problem: Option<Problem>,
    flow: Arc<Flow>,
}

impl Context {
    pub(super) fn new(flow: Arc<Flow>, connection: Arc<Connection>) -> Self {
        flow.in_flight.start();
        let now = clock::now();
        let started = Instant::now();
        Self {
            request_id: RequestId::new(now),
            foreign_request_id: None,
            by_proxy: false,
            now,
            started,
            forwarded_at: started,
            trace: None,
            answered_at: None,
            own: None,
            charged_in: None,
            connection,
            route: None,
            identity: None,
            member: 0,
            charge: Charge::None,
            forwarded_path: None,
            attempts: 0,
            asked: None,
            tried: Vec::new(),
            server: None,
            body_bytes: 0,
            upload: None,
            measuring: None,
            read_ahead: false,
            waited: Duration::ZERO,
            passing: None,
            shown_headers: LimitHeaders::new(),
            granted: None,
            refused: None,
            why: None,
            in_shadow: None,
            problem: None,
            flow,
        }
    }

    /// When limits are asked: a body that was read first may have taken long to come.
    pub(super) fn asked_at(&self) -> Now {
        if self.read_ahead { self.settle_at() } else { self.now }
    }

    /// Nobody waits for the request's body any more.
    pub(super) fn body_is_over(&self) {
        if let Some(upload) = &self.upload {
            upload.end();
        }
    }

    /// The slices of an exchange that goes on.
    pub(super) fn slices(&self) -> Option<&Arc<Slices>> {
        if let Charge::Open(slices) = &self.charge { Some(slices) } else { None }
    }

    /// With what was charged last of what is not settled, if anything was.
    pub(super) fn with_recorded<T>(&self, look: impl FnOnce(&Recorded) -> T) -> Option<T> {
        match &self.charge {
            Charge::Recorded(recorded) => Some(look(recorded)),
            Charge::Open(slices) => slices.with_open(look),
            Charge::None | Charge::Held(_) => None,
        }
    }

    pub(super) fn is_charged(&self) -> bool {
        matches!(self.charge, Charge::Recorded(_) | Charge::Open(_))
    }

    /// The id that client and upstream see.
    pub(super) fn shown_request_id(&self) -> HeaderValue {
        let foreign = self.foreign_request_id.as_deref();
        foreign.and_then(|id| HeaderValue::from_str(id).ok()).unwrap_or_else(|| self.request_id.header())
    }

    /// An instant of this request as the wall clock has it, were it never set.
    pub(super) fn wall(&self, at: Instant) -> Now {
        let elapsed =
            u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX);
        Now(self.now.nanos().saturating_add(elapsed))
    }

    pub(super) fn settle_at(&self) -> Now {
        self.wall(Instant::now())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Of an exchange that nobody could end.
        self.settle_truth();
        if !self.flow.books.are_here()
            && let Charge::Held(reservation) = std::mem::take(&mut self.charge)
        {
            self.flow.release(reservation);
        }
        self.flow.in_flight.end();
    }
}
