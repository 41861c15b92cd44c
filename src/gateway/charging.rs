//! At the response: the reservation settles or is released, and the usage record is appended before the header
//! goes out.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::customers::{Reservation, Settled};
use crate::domain::account::Policies;
use crate::domain::measure::Answer;
use crate::domain::methods;
use crate::domain::route::Route;
use crate::domain::usage::{MemberId, Now};
use crate::ledger::{Kind, Record};
use crate::metrics::METRICS;
use crate::problem::Problem;

use super::admission::ledger_unavailable;
use super::context::{Charge, Context, Recorded};
use super::estimates::{AtHeader, Held, recorded_draws, recorded_lots};
use super::headers::{Headers, REQUEST_ID};
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
        let policies = match charged {
            Some((cost, policies)) => {
                headers.put(USAGE_COST, cost)?;
                policies
            }
            None => entry.policies(route, MemberId::new(context.member), self.catalogue.currency, now),
        };
        for (name, value) in self.limit_headers(&policies) {
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
    ) -> Result<Option<(HeaderValue, Policies)>, Problem> {
        let Charge::Held(mut reservation) = std::mem::take(&mut context.charge) else { return Ok(None) };
        if !answered.is_charged {
            reservation.release();
            return Ok(None);
        }
        let told = match (&self.fleet, reservation.key_to_charge()) {
            (Some(fleet), Some(key)) => Box::pin(self.tell_key(fleet, &reservation, key, now)).await,
            _ => None,
        };
        let at_header =
            measured.as_ref().map(|(measuring, answer)| self.at_header(route, *answer, measuring));
        let Some((settled, policies, open)) = self.settle(route, at_header, &mut reservation, now) else {
            return Ok(None);
        };
        let mut record = self.record(route, answered, &reservation, &settled, context, now);
        if open.is_some() {
            record.kind = Kind::Estimate;
        }
        let Ok(appended) = self.ledger.append(&record) else {
            reservation.undo(&settled, now);
            return Err(ledger_unavailable());
        };
        if let Some(told) = told {
            told.stand();
        }
        reservation.entry().recorded(appended.0);
        self.counters.recorded(&settled.charge.draws, 1);
        let record = Record { number: appended.0, ..record };
        let held = open.as_ref().map_or(&[][..], |(_, held)| held);
        let cost = self.usage_cost(route, &settled.charge, held);
        let recorded = Recorded { reservation, settled, record };
        context.charge = match (open, measured) {
            (Some(open), Some(measured)) => Slices::begin(self, route, (recorded, open), measured, context),
            _ => Charge::Recorded(recorded),
        };
        if self.ledger.durable(appended).await.is_err() {
            self.undo(context);
            return Err(ledger_unavailable());
        }
        context.with_recorded(|Recorded { reservation, settled, .. }| {
            self.count_drawn(settled);
            self.customers.note_charge(reservation.entry(), &settled.charge);
        });
        Ok(Some((cost, policies)))
    }

    pub(super) fn count_drawn(&self, settled: &Settled) {
        if settled.charge.is_repeat() {
            METRICS.repeats.inc();
        }
        if let Some(tier) = settled.tier {
            self.of_tier(tier, |tier| tier.count(&settled.charge.draws));
        }
    }

    /// Turns what is held into a charge: of what it was reserved for, or of what is known now of a measured exchange and
    /// held for the rest.
    fn settle(
        &self,
        route: &Route,
        measured: Option<AtHeader>,
        reservation: &mut Reservation,
        now: Now,
    ) -> Option<(Settled, Policies, Option<Held>)> {
        let currency = self.catalogue.currency;
        let Some(AtHeader { cost, held }) = measured else {
            let (settled, policies) = reservation.settle_showing(route, currency, now)?;
            return Some((settled, policies, None));
        };
        let (settled, policies, terms) = reservation.settle_with(&cost, route, currency, now)?;
        let is_open = !held.is_empty() && !settled.charge.is_repeat();
        Some((settled, policies, is_open.then_some((terms, held))))
    }

    /// Takes a recorded charge back with a second, negative record. What earlier slices of it have settled stands.
    pub(super) fn undo(&self, context: &mut Context) {
        let recorded = match std::mem::take(&mut context.charge) {
            Charge::Recorded(recorded) => Some(recorded),
            Charge::Open(slices) => slices.take(),
            Charge::None | Charge::Held(_) => None,
        };
        if let Some(recorded) = recorded {
            self.undo_recorded(recorded, context.settle_at());
        }
    }

    pub(super) fn undo_recorded(&self, recorded: Recorded, now: Now) {
        let Recorded { reservation, settled, record } = recorded;
        if settled.charge.is_repeat() {
            return;
        }
        self.take_key_back(reservation.entry(), &settled.charge);
        let period = reservation.undo(&settled, now);
        self.counters.recorded(&settled.charge.draws, -1);
        let correction = record.correction(now.micros(), period);
        if let Some(appended) = self.ledger.correct(correction) {
            reservation.entry().recorded(appended.0);
        }
    }

    fn record(
        &self,
        route: &Route,
        answered: &Answered<'_>,
        reservation: &Reservation,
        settled: &Settled,
        context: &Context,
        now: Now,
    ) -> Record {
        Record {
            number: 0,
            at_micros: now.micros(),
            request: context.request_id.bytes(),
            customer: reservation.entry().number,
            // A repeat may be charged by what another member holds.
            member: settled.charge.member.map_or(context.member, MemberId::number),
            counts_for_member: settled.charge.member.is_some(),
            route: self.numbers.routes[route.id.index()],
            tier: settled.tier.map_or(0, |tier| self.of_tier(tier, |tier| tier.number)),
            configuration: self.numbers.configuration,
            period: settled.charge.period,
            kind: Kind::Charge,
            status: answered.status,
            method: methods::number(answered.method),
            draws: recorded_draws(&settled.charge, &self.numbers),
            lots: recorded_lots(&settled.charge),
            key: settled.charge.key.map(|key| key.0),
            foreign_request: context.foreign_request_id.as_deref().map(|id| id.as_bytes().into()),
        }
    }
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
