//! At the response: the reservation settles or is released, and the usage record is appended before the header
//! goes out.

use std::time::Instant;

use http::{HeaderName, Method};

use crate::customers::{Reservation, Settled};
use crate::domain::account::Policies;
use crate::domain::methods;
use crate::domain::route::Route;
use crate::domain::usage::Now;
use crate::ledger::{Kind, Record, RecordDraw, RecordLot};
use crate::metrics::METRICS;
use crate::problem::Problem;

use super::Parts;
use super::admission::ledger_unavailable;
use super::context::{Charge, Context, Recorded};
use super::headers::{Headers, REQUEST_ID};
use super::phases::fail;

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
        let now = context.wall(read_at);
        let policies = match self.charge(route, status, method, now, context).await {
            Ok(policies) => policies,
            Err(problem) => return Err(fail(context, problem)),
        };
        if let Charge::Recorded(recorded) = &context.charge {
            headers.put(USAGE_COST, self.usage_cost(route, &recorded.settled.charge))?;
        }
        let policies = policies.unwrap_or_else(|| entry.policies(route, self.catalogue.currency, now));
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

    /// Charges the request if the status is one that the route charges, and answers the limits as they are then; else
    /// releases what is held. An error means that nothing was charged and the response must not go out.
    async fn charge(
        &self,
        route: &Route,
        status: u16,
        method: &Method,
        now: Now,
        context: &mut Context,
    ) -> Result<Option<Policies>, Problem> {
        let Charge::Held(mut reservation) = std::mem::take(&mut context.charge) else { return Ok(None) };
        // A switch to another protocol is the success of what was asked for.
        let outcome = if status == 101 { 200 } else { status };
        if !route.charge_on.contains(outcome) {
            reservation.release();
            return Ok(None);
        }
        let told = match (&self.fleet, reservation.key_to_charge()) {
            (Some(fleet), Some(key)) => Box::pin(self.tell_key(fleet, &reservation, key, now)).await,
            _ => None,
        };
        let currency = self.catalogue.currency;
        let Some((settled, policies)) = reservation.settle_showing(route, currency, now) else {
            return Ok(None);
        };
        let record = self.record(route, status, method, &reservation, &settled, context, now);
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
        context.charge = Charge::Recorded(Recorded { reservation, settled, record });
        if self.ledger.durable(appended).await.is_err() {
            self.undo(context);
            return Err(ledger_unavailable());
        }
        self.counters.drawn(context);
        if let Charge::Recorded(recorded) = &context.charge {
            self.customers.note_charge(recorded.reservation.entry(), &recorded.settled.charge);
        }
        Ok(Some(policies))
    }

    /// Takes a recorded charge back with a second, negative record.
    pub(super) fn undo(&self, context: &mut Context) {
        let Charge::Recorded(recorded) = std::mem::take(&mut context.charge) else { return };
        let Recorded { reservation, settled, record } = recorded;
        if settled.charge.is_repeat() {
            return;
        }
        self.take_key_back(reservation.entry(), &settled.charge);
        let now = context.settle_at();
        let period = reservation.undo(&settled, now);
        self.counters.recorded(&settled.charge.draws, -1);
        let correction = record.correction(now.micros(), period);
        if let Some(appended) = self.ledger.correct(correction) {
            reservation.entry().recorded(appended.0);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a record says")]
    fn record(
        &self,
        route: &Route,
        status: u16,
        method: &Method,
        reservation: &Reservation,
        settled: &Settled,
        context: &Context,
        now: Now,
    ) -> Record {
        let signed = |units| i64::try_from(units).unwrap_or(i64::MAX);
        let draws = settled.charge.draws.iter().map(|draw| RecordDraw {
            meter: self.numbers.meters[draw.meter.index()],
            included: signed(draw.included),
            extra: signed(draw.extra),
            credits: signed(draw.credits),
            overage: signed(draw.overage),
        });
        let lots = &settled.charge.lots;
        let lots = lots.iter().map(|lot| RecordLot { grant: lot.grant, units: signed(lot.units) });
        Record {
            number: 0,
            at_micros: now.micros(),
            request: context.request_id.bytes(),
            customer: reservation.entry().number,
            member: context.member,
            route: self.numbers.routes[route.id.index()],
            tier: settled.tier.map_or(0, |tier| self.numbers.tiers[tier.index()]),
            configuration: self.numbers.configuration,
            period: settled.charge.period,
            kind: Kind::Charge,
            status,
            method: methods::number(method),
            draws: draws.collect(),
            lots: lots.collect(),
            key: settled.charge.key.map(|key| key.0),
            foreign_request: context.foreign_request_id.as_deref().map(|id| id.as_bytes().into()),
        }
    }
}
