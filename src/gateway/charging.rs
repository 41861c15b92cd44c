//! At the response: the reservation settles or is released, and the usage record is appended before the header
//! goes out.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use smallvec::SmallVec;

use crate::customers::{Reservation, Settled};
use crate::domain::account::Terms;
use crate::domain::measure::{Answer, TrueCost};
use crate::domain::methods;
use crate::domain::period::Period;
use crate::domain::route::Route;
use crate::domain::usage::{MemberId, Now};
use crate::ledger::{Appended, Kind, Record};
use crate::metrics::METRICS;
use crate::problem::Problem;

use super::admission::ledger_unavailable;
use super::books::Matter;
use super::context::{Charge, Context, Recorded};
use super::estimates::{AtHeader, recorded_draws, recorded_lots};
use super::headers::{Headers, REQUEST_ID};
use super::limits::LimitHeaders;
use super::measuring::Measuring;
use super::phases::fail;
use super::slices::Slices;
use super::{Parts, grpc};

const USAGE_COST: HeaderName = HeaderName::from_static("x-usage-cost");

impl Parts {
    /// Makes the upstream's answer ours: charges it, and says what it cost and what is left. `read_at` is when its
    /// header had been read. An error goes to [`Parts::fail`], and nothing was charged.
    pub(super) async fn respond(
        &self,
        status: u16,
        method: &Method,
        headers: &mut impl Headers,
        read_at: Instant,
        context: &mut Context,
    ) -> pingora::Result<()> {
        context.answered_at = Some(read_at);
        self.dress(headers, context)?;
        headers.put(REQUEST_ID, context.shown_request_id())?;
        headers.delete(&USAGE_COST);
        let Some(route) = self.route_of(context) else { return Ok(()) };
        let entry = match &context.charge {
            Charge::Held(reservation) if route.is_charged() => reservation.entry().clone(),
            _ => return Ok(()),
        };
        let mut measuring = context.measuring.take();
        if grpc::ends_in_trailers(status, method, headers.all()) {
            measuring.get_or_insert_with(|| Box::new(Measuring::of([].into()))).await_status();
        }
        let measured = measuring.map(|mut measuring| {
            measuring.answered(headers.all());
            (measuring, what_follows(status, method, headers.all()))
        });
        let is_charged = is_charged(route, status, method, headers.all());
        let answered = Answered { status, method, is_charged };
        let now = context.wall(read_at);
        let charged = match self.charge(route, &answered, measured, now, context).await {
            Ok(charged) => charged,
            Err(problem) => return Err(fail(context, problem)),
        };
        let limits = match charged {
            Charged::Paid(cost, limits) => {
                headers.put(USAGE_COST, cost)?;
                limits
            }
            Charged::Nothing(Some(limits)) => limits,
            Charged::Nothing(None) => {
                let member = MemberId::new(context.member);
                self.limit_headers(&entry.policies(route, member, self.catalogue.currency, now))
            }
        };
        for (name, value) in limits {
            headers.put(name, value)?;
        }
        let charged_in = read_at.elapsed();
        let own = context.forwarded_at - context.started + charged_in;
        let own = own.saturating_sub(context.waited);
        METRICS.gateway_seconds.observe(own);
        (context.own, context.charged_in) = (Some(own), Some(charged_in));
        Ok(())
    }

    /// Charges the request if the answer is one that the route charges, and answers what it costs and the limits as they
    /// are then; else releases what is held. An error means that nothing was charged and the response must not go out.
    async fn charge(
        &self,
        route: &Route,
        answered: &Answered<'_>,
        measured: Option<(Box<Measuring>, Answer)>,
        now: Now,
        context: &mut Context,
    ) -> Result<Charged, Problem> {
        let Charge::Held(mut reservation) = std::mem::take(&mut context.charge) else {
            return Ok(Charged::Nothing(None));
        };
        if !answered.is_charged {
            return Ok(Charged::Nothing(self.let_go(reservation, route, now).await));
        }
        let told = match (&self.fleet, reservation.key_to_charge()) {
            (Some(fleet), Some(key)) => Box::pin(self.tell_key(fleet, &reservation, key, now)).await,
            _ => None,
        };
        let at_header =
            measured.as_ref().map(|(measuring, answer)| self.at_header(route, *answer, measuring));
        let (truth, held) = at_header.map(|AtHeader { cost, held }| (cost, held)).unzip();
        let held = held.unwrap_or_default();
        let kind = if held.is_empty() { Kind::Charge } else { Kind::Estimate };
        let record = self.draft(kind, route, answered, &reservation, context);
        let due = Due { record, truth, at: now };
        let Some(paid) = self.collect(route, due, &mut reservation).await? else {
            return Ok(Charged::Nothing(None));
        };
        if let Some(told) = told {
            told.stand();
        }
        let Paid { settled, record, limits, terms, is_written_here } = paid;
        let (appended, is_open) = (Appended(record.number), record.is_estimate());
        let cost = self.usage_cost(route, &settled.charge, if is_open { &held } else { &[] });
        let recorded = Recorded { reservation, settled, record };
        context.charge = match (terms.filter(|_| is_open), measured) {
            (Some(terms), Some(measured)) => {
                Slices::begin(self, route, (recorded, (terms, held)), measured, context)
            }
            _ => Charge::Recorded(recorded),
        };
        if is_written_here {
            if self.ledger.durable(appended).await.is_err() {
                self.undo(context);
                return Err(ledger_unavailable());
            }
            context.with_recorded(|recorded| self.note_paid(recorded));
        }
        Ok(Charged::Paid(cost, limits))
    }

    /// Releases what is held for an answer that is not charged. Answers the limits where they are not known here.
    pub(super) async fn let_go(
        &self,
        reservation: Reservation,
        route: &Route,
        now: Now,
    ) -> Option<LimitHeaders> {
        if !self.flow.books.are_here()
            && let Some(heir) = self.flow.books.heir().await
        {
            return Some(Box::pin(self.release_there(&heir, reservation, route, now)).await);
        }
        drop(reservation);
        None
    }

    /// Charges what is due, here or where the books are. None: there is nothing left to charge it to.
    pub(super) async fn collect(
        &self,
        route: &Route,
        mut due: Due,
        reservation: &mut Reservation,
    ) -> Result<Option<Paid>, Problem> {
        if self.flow.books.are_here() {
            match self.charge_here(route, due, reservation) {
                Ok(paid) => return Ok(paid),
                Err(_) if self.flow.books.are_here() => return Err(ledger_unavailable()),
                Err(unpaid) => due = *unpaid,
            }
        }
        Box::pin(async {
            match self.flow.books.heir().await {
                Some(heir) => self.charge_there(&heir, route, due, reservation).await.map(Some),
                // What was given back in the moment when the books were to go is not held any more.
                None if !reservation.is_held() => Err(ledger_unavailable()),
                None => self.charge_here(route, due, reservation).map_err(|_| ledger_unavailable()),
            }
        })
        .await
    }

    /// Turns what is held into a charge, of what it was reserved for or of what is known of a measured exchange, and
    /// records it. Where it cannot be recorded nothing is charged.
    pub(super) fn charge_here(
        &self,
        route: &Route,
        mut due: Due,
        reservation: &mut Reservation,
    ) -> Result<Option<Paid>, Box<Due>> {
        let (currency, now) = (self.catalogue.currency, due.at);
        let settled = match &due.truth {
            None => reservation
                .settle_showing(route, currency, now)
                .map(|(settled, policies)| (settled, policies, None)),
            Some(truth) => reservation
                .settle_with(truth, route, currency, now)
                .map(|(settled, policies, terms)| (settled, policies, Some(terms))),
        };
        let Some((settled, policies, terms)) = settled else { return Ok(None) };
        self.complete(&mut due.record, reservation, &settled, now);
        let Ok(appended) = self.ledger.append(&due.record) else {
            reservation.undo(&settled, now);
            return Err(Box::new(due));
        };
        reservation.entry().recorded(appended.0);
        self.counters.recorded(&settled.charge.draws, 1);
        let record = Record { number: appended.0, ..due.record };
        let limits = self.limit_headers(&policies);
        Ok(Some(Paid { settled, record, limits, terms, is_written_here: true }))
    }

    /// Counts and tells what has been charged for good.
    pub(super) fn note_paid(&self, recorded: &Recorded) {
        let settled = &recorded.settled;
        if settled.charge.is_repeat() {
            METRICS.repeats.inc();
        }
        if let Some(tier) = settled.tier {
            self.of_tier(tier, |tier| tier.count(&settled.charge.draws));
        }
        self.customers.note_charge(recorded.reservation.entry(), &settled.charge);
    }

    /// Takes a recorded charge back. What earlier slices of it have settled stands.
    pub(super) fn undo(&self, context: &mut Context) {
        let recorded = match std::mem::take(&mut context.charge) {
            Charge::Recorded(recorded) => Some(recorded),
            Charge::Open(slices) => slices.take(),
            Charge::Held(reservation) => {
                self.flow.release(reservation);
                None
            }
            Charge::None => None,
        };
        if let Some(recorded) = recorded {
            self.undo_recorded(recorded, context.settle_at());
        }
    }

    pub(super) fn undo_recorded(&self, recorded: Recorded, now: Now) {
        if !recorded.settled.charge.is_repeat() {
            self.see_to(Matter::Undo(recorded, now));
        }
    }

    /// The same with a second, negative record.
    pub(super) fn undo_here(&self, recorded: Recorded, now: Now) {
        let Recorded { reservation, settled, record } = recorded;
        self.take_key_back(reservation.entry(), &settled.charge);
        let period = reservation.undo(&settled, now);
        self.counters.recorded(&settled.charge.draws, -1);
        let correction = record.correction(now.micros(), period);
        if let Some(appended) = self.ledger.correct(correction) {
            reservation.entry().recorded(appended.0);
        }
    }

    /// The record of a charge, without what only charging tells.
    fn draft(
        &self,
        kind: Kind,
        route: &Route,
        answered: &Answered<'_>,
        reservation: &Reservation,
        context: &Context,
    ) -> Record {
        Record {
            number: 0,
            at_micros: 0,
            request: context.request_id.bytes(),
            customer: reservation.entry().number,
            member: context.member,
            counts_for_member: false,
            in_shadow: false,
            route: self.numbers.routes[route.id.index()],
            tier: 0,
            configuration: self.numbers.configuration,
            period: Period { start: 0, end: 0 },
            kind,
            status: answered.status,
            method: methods::number(answered.method),
            draws: SmallVec::new(),
            lots: Vec::new(),
            key: None,
            foreign_request: context.foreign_request_id.as_deref().map(|id| id.as_bytes().into()),
        }
    }

    /// What charging tells of a record.
    fn complete(&self, record: &mut Record, reservation: &Reservation, settled: &Settled, now: Now) {
        let charge = &settled.charge;
        record.at_micros = now.micros();
        record.customer = reservation.entry().number;
        // A repeat may be charged by what another member holds.
        record.member = charge.member.map_or(record.member, MemberId::number);
        record.counts_for_member = charge.member.is_some();
        record.in_shadow = charge.in_shadow;
        record.period = charge.period;
        record.draws = recorded_draws(charge, &self.numbers);
        record.lots = recorded_lots(charge);
        record.key = charge.key.map(|key| key.0);
        if charge.is_repeat() {
            // It has cost nothing, and nothing is still to be told.
            record.kind = Kind::Charge;
        }
        // What an exchange goes on with keeps the tier of its beginning.
        if record.is_request() {
            record.tier = settled.tier.map_or(0, |tier| self.of_tier(tier, |tier| tier.number));
        }
    }
}

/// What is to be charged for an exchange.
pub(super) struct Due {
    /// Without what only charging tells.
    pub record: Record,
    /// None: what is held.
    pub truth: Option<TrueCost>,
    pub at: Now,
}

/// What has been charged.
pub(super) struct Paid {
    pub settled: Settled,
    pub record: Record,
    /// As it left them.
    pub limits: LimitHeaders,
    /// Those of a measured exchange.
    pub terms: Option<Arc<Terms>>,
    /// Another process has written it otherwise, durably.
    pub is_written_here: bool,
}

/// What has become of a charge.
enum Charged {
    /// What the client is told of it, and of the limits as it left them.
    Paid(HeaderValue, LimitHeaders),
    /// With the limits, where they are not known here.
    Nothing(Option<LimitHeaders>),
}

/// What the upstream's header says of its answer.
struct Answered<'a> {
    status: u16,
    method: &'a Method,
    /// As far as the header tells.
    is_charged: bool,
}

/// Whether an answer is one that the route charges.
fn is_charged(route: &Route, status: u16, method: &Method, headers: &HeaderMap) -> bool {
    let succeeded = match grpc::status_in_header(method, headers) {
        Some(grpc) => route.charge_on.contains_grpc(grpc),
        // A switch to another protocol is the success of what was asked for.
        None => route.charge_on.contains(if status == 101 { 200 } else { status }),
    };
    succeeded && !is_free(route, headers)
}

fn what_follows(status: u16, method: &Method, headers: &HeaderMap) -> Answer {
    let is_empty = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    match status {
        101 => Answer::Upgrade,
        204 | 304 => Answer::Nothing,
        _ if is_empty || *method == Method::HEAD => Answer::Nothing,
        _ => Answer::Body,
    }
}

/// Whether an answer shows that it costs nothing, such as one from a cache.
fn is_free(route: &Route, headers: &HeaderMap) -> bool {
    let Some(free) = route.extras.as_ref().and_then(|extras| extras.free_when.as_ref()) else { return false };
    let shows = |value: &http::HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        memchr::memmem::find(&value, free.contains.as_bytes()).is_some()
    };
    headers.get_all(&*free.header).iter().any(shows)
}
