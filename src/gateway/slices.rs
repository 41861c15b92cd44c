//! An exchange that has been charged as an estimate, and goes on.
//!
//! # What it promises
//!
//! - Each slice of it is a record of its own, charged before what it pays for has passed, where a limit is to cut the
//!   exchange: by a crash nothing is lost that was delivered. Where it is to be finished, slices begin when it has
//!   lasted for a while, so that hours of usage are sealed while they pass; one that fails early has cost nothing.
//! - A limit that cuts is noticed before what exceeds it passes; of time, and where a fleet must be asked on pingora's
//!   way, a moment later. What was cut costs no more than had been granted.
//! - Whoever ends it settles the slice that is open, once. A slice that was settled stays so, whatever becomes of the
//!   exchange.

mod direction;
mod leash;
mod renewal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderMap;
use pingora::{Error, ErrorType};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::customers::{Denied, Entry, Reservation};
use crate::domain::account::{ByMember, Terms};
use crate::domain::measure::{Answer, Size, Slice, TrueCost};
use crate::domain::refusal::Refusal;
use crate::domain::route::{OnLimit, Route, RouteId};
use crate::domain::tier::TierId;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::Now;
use crate::problem::{Code, Problem};

use super::context::{Charge, Context, Recorded};
use super::estimates::Held;
use super::measuring::{Measuring, Passed};
use super::{Parts, RequestId, grpc};

pub(super) use direction::{Direction, Stopped};
pub(super) use leash::Leash;

/// How often it is looked at what nobody passes: time, and what is old.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The slices of one exchange.
pub(super) struct Slices {
    /// For what goes on where the books are.
    me: Weak<Self>,
    parts: Arc<Parts>,
    route: RouteId,
    request_id: RequestId,
    on_limit: OnLimit,
    tier: TierId,
    /// When it began, by both clocks.
    now: Now,
    started: Instant,
    state: Mutex<State>,
    /// Whoever watches has something to do.
    news: Notify,
    /// The fleet has been asked.
    answered: Notify,
}

struct State {
    measuring: Box<Measuring>,
    /// What the slices that are settled came to.
    settled: TrueCost,
    /// None: it is over.
    open: Option<Open>,
    /// Others are asked for more.
    is_asking: bool,
    /// The slice is renewed where the books are: what is to become of it then.
    then: Option<Then>,
    /// The limit that has cut it.
    cut: Option<Problem>,
}

/// The slice that is not settled.
struct Open {
    slice: Slice,
    recorded: Recorded,
    /// In force when it was charged.
    terms: Arc<Terms>,
}

/// What becomes of a slice.
enum Then {
    GoOn,
    End,
    TakeBack,
}

/// A limit is reached: what was about to pass must not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut;

impl Slices {
    /// Where the gateway is being torn down there are none, and the estimate stands.
    pub fn begin(
        parts: &Parts,
        route: &Route,
        (recorded, (terms, held)): (Recorded, Held),
        (measuring, answer): (Box<Measuring>, Answer),
        context: &Context,
    ) -> Charge {
        let Some(parts) = parts.me.upgrade() else { return Charge::Recorded(recorded) };
        let drawn = recorded.settled.charge.draws.iter().map(|draw| (draw.meter, draw.units()));
        let measured: Vec<MeterId> = measuring.meters().filter(|meter| held.contains(meter)).collect();
        let slice = Slice::first(measured.iter().map(|meter| {
            (*meter, drawn.clone().find(|(drawn, _)| drawn == meter).map_or(0, |(_, units)| units))
        }));
        let slices = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            parts,
            route: route.id,
            request_id: context.request_id,
            on_limit: route.on_limit(&held, answer == Answer::Upgrade),
            tier: recorded.reservation.tier(),
            now: context.now,
            started: context.started,
            state: Mutex::new(State {
                measuring,
                settled: TrueCost::default(),
                open: Some(Open { slice, recorded, terms }),
                is_asking: false,
                then: None,
                cut: None,
            }),
            news: Notify::new(),
            answered: Notify::new(),
        });
        Leash::hold(&slices);
        Charge::Open(slices)
    }

    /// A piece of the request's body is about to pass.
    pub fn sent(&self, piece: &[u8]) -> Result<(), Cut> {
        self.pass(Passed::up(piece.len()), |_| {})
    }

    /// A piece of the response's body is about to pass.
    pub fn deliver(&self, piece: &[u8]) -> Result<(), Cut> {
        self.pass(Passed::down(piece.len()), |measuring| measuring.heard(piece))
    }

    /// Returns when nothing is asked of the fleet, which may cut what was about to pass.
    pub async fn granted(&self) {
        loop {
            let answered = self.answered.notified();
            if !self.lock().is_asking {
                return;
            }
            answered.await;
        }
    }

    /// The client did not take what was about to pass.
    pub fn not_delivered(&self, piece: &[u8]) {
        self.lock().measuring.uncount(Passed::down(piece.len()));
    }

    /// What trailers tell of a call of gRPC.
    pub fn hear_status(&self, trailers: &HeaderMap) {
        let charge_on = &self.route().charge_on;
        let state = &mut *self.lock();
        if state.measuring.awaits_status() && !grpc::is_charged(trailers, charge_on) {
            state.measuring.forgo();
        }
    }

    /// The limit that has cut it.
    pub fn cut(&self) -> Option<Problem> {
        self.lock().cut.clone()
    }

    /// Looks at the slice that is open while the exchange goes on; returns when a limit has cut it.
    pub async fn watch(&self) {
        loop {
            // Late or told: there may be something to do.
            let _ = timeout(LOOK_EVERY, self.news.notified()).await;
            if self.lock().is_asking {
                self.ask_others().await;
                let state = &mut *self.lock();
                state.is_asking = state.then.is_some();
            }
            let state = &mut *self.lock();
            if self.step(state).is_err() {
                return;
            }
            self.answered.notify_waiters();
        }
    }

    /// The exchange is over: its truth takes the place of the estimate that is open.
    pub fn end(&self) {
        let state = &mut *self.lock();
        if let Some(then) = &mut state.then {
            *then = Then::End;
        }
        let Some(Open { slice, recorded, terms }) = state.open.take() else { return };
        if state.measuring.is_free() {
            return self.parts.undo_recorded(recorded, self.wall());
        }
        let counters = &self.parts.counters;
        let held = |meter| slice.held().any(|(held, _)| held == meter);
        let at_end: Vec<_> = state.measuring.end(self.started.elapsed()).collect();
        at_end.iter().filter(|(measured, _)| held(measured.meter)).for_each(|(_, truth)| {
            counters.measured(*truth);
        });
        let truth = slice.end(state.cut.is_some(), at_end.into_iter());
        state.settled.add(&self.parts.settle_estimate(recorded, &truth, terms, self.wall()));
    }

    /// What the exchange came to, by meter, as far as it is settled.
    pub fn came_to(&self) -> TrueCost {
        self.lock().settled.clone()
    }

    pub fn tier(&self) -> TierId {
        self.tier
    }

    /// What is charged and not settled, for whoever takes it back. Nothing more is charged.
    pub fn take(&self) -> Option<Recorded> {
        let state = &mut *self.lock();
        if let Some(then) = &mut state.then {
            *then = Then::TakeBack;
        }
        state.open.take().map(|open| open.recorded)
    }

    /// With what was charged last, unless it is settled.
    pub fn with_open<T>(&self, look: impl FnOnce(&Recorded) -> T) -> Option<T> {
        self.lock().open.as_ref().map(|open| look(&open.recorded))
    }

    fn pass(&self, passed: Passed, hear: impl FnOnce(&mut Measuring)) -> Result<(), Cut> {
        let state = &mut *self.lock();
        if state.cut.is_some() {
            return Err(Cut);
        }
        hear(&mut state.measuring);
        state.measuring.count(passed);
        let verdict = self.step(state);
        if verdict.is_err() {
            state.measuring.uncount(passed);
        }
        verdict
    }

    /// Charges the next slice if it is time for it.
    fn step(&self, state: &mut State) -> Result<(), Cut> {
        if state.cut.is_some() {
            return Err(Cut);
        }
        let Some(open) = state.open.as_ref().filter(|_| !state.is_asking) else { return Ok(()) };
        let (took, age) = (self.started.elapsed(), self.age(open));
        let so_far = || state.measuring.so_far(took);
        let is_exceeded = self.on_limit == OnLimit::Cut && open.slice.is_exceeded(so_far());
        if !is_exceeded && !open.slice.is_old(age, so_far()) {
            return Ok(());
        }
        let entry = open.recorded.reservation.entry();
        if open.recorded.reservation.is_in_shadow() {
            if entry.is_blocked() {
                return self.run_out(state, &Denied::Refused(Refusal::Blocked));
            }
            return self.go_on_for_nothing(state, Reservation::in_shadow);
        }
        let now = self.wall();
        let mut denied = Denied::Refill;
        for size in Size::ALL {
            match self.extend(entry, &open.slice.ask(age, size, so_far()), open.member(), now) {
                Ok(reservation) => return self.next(state, reservation, None),
                Err(Denied::Refill) => {
                    state.is_asking = true;
                    self.news.notify_one();
                    return Ok(());
                }
                Err(refused) => denied = refused,
            }
        }
        self.run_out(state, &denied)
    }

    /// Asks the fleet for what its node does not hold, or whoever has the books.
    async fn ask_others(&self) {
        let mut denied = Denied::Refill;
        for size in Size::ALL {
            let Some((entry, more, member)) = self.wanted(size) else { return };
            match self.parts.extend(&entry, &more, member, self.wall()).await {
                Ok(reservation) => {
                    // An error is met again by whoever asks next.
                    let _ = self.next(&mut self.lock(), reservation, None);
                    return;
                }
                Err(refused) => denied = refused,
            }
        }
        let _ = self.run_out(&mut self.lock(), &denied);
    }

    fn wanted(&self, size: Size) -> Option<(Arc<Entry>, Cost, Option<ByMember>)> {
        let state = &*self.lock();
        let open = state.open.as_ref()?;
        let ask = open.slice.ask(self.age(open), size, state.measuring.so_far(self.started.elapsed()));
        Some((open.recorded.reservation.entry().clone(), ask, open.member()))
    }

    /// Nothing is left to pay for more.
    fn run_out(&self, state: &mut State, denied: &Denied) -> Result<(), Cut> {
        if self.on_limit == OnLimit::Finish {
            return self.go_on_for_nothing(state, Reservation::for_nothing);
        }
        let Some(open) = &state.open else { return Ok(()) };
        let (entry, request) = (open.recorded.reservation.entry(), (self.request_id, self.wall()));
        if self.parts.goes_on_in_shadow(entry, denied, (self.route(), self.tier), request) {
            return self.go_on_for_nothing(state, Reservation::in_shadow);
        }
        Err(self.cut_by(state, denied))
    }

    fn go_on_for_nothing(
        &self,
        state: &mut State,
        reserve: impl FnOnce(&Reservation) -> Reservation,
    ) -> Result<(), Cut> {
        let Some(open) = &state.open else { return Ok(()) };
        let so_far = state.measuring.so_far(self.started.elapsed());
        let granted = open.slice.ask(self.age(open), Size::Ample, so_far);
        let reservation = reserve(&open.recorded.reservation);
        self.next(state, reservation, Some(&granted))
    }

    fn cut_by(&self, state: &mut State, denied: &Denied) -> Cut {
        let problem = match (denied, &state.open) {
            (Denied::Refused(refusal), Some(open)) => {
                let entry = open.recorded.reservation.entry();
                let member = open.member().map(|member| member.id);
                self.parts.refusal(entry, (self.route(), member), refusal, self.wall()).0
            }
            _ => {
                Problem::new(Code::FleetUnavailable, "the limits that all gateways share cannot be asked now")
            }
        };
        self.cut_for(state, problem)
    }

    fn cut_for(&self, state: &mut State, problem: Problem) -> Cut {
        self.parts.counters.refused(problem.code);
        tracing::info!(code = problem.code.as_str(), request_id = %self.request_id, "a limit cuts an exchange");
        state.cut = Some(problem);
        self.news.notify_one();
        Cut
    }

    fn route(&self) -> &Route {
        self.parts.catalogue.routes.get(self.route)
    }

    /// Now, as the wall clock has it, were it never set.
    fn wall(&self) -> Now {
        let took = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now(self.now.nanos().saturating_add(took))
    }

    fn age(&self, open: &Open) -> Duration {
        let began = open.recorded.settled.charge.at;
        Duration::from_nanos(self.wall().nanos().saturating_sub(began.nanos()))
    }

    /// Every change under the lock is complete when a panic elsewhere could poison it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Whose caps hold.
    fn member(&self) -> Option<ByMember> {
        let charged = self.recorded.settled.charge.member.map(ByMember::from);
        charged.or(self.recorded.reservation.member())
    }
}

impl Cut {
    /// Ends the exchange on its way to the client, who is told what [`Slices::cut`] says where that is possible.
    #[expect(clippy::unused_self, clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
    pub fn error(self) -> Box<Error> {
        Error::explain(ErrorType::Custom("a limit was reached"), "the exchange is cut").into_down()
    }
}
