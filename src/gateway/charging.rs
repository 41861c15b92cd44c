//! At the response: the reservation settles or is released, and the usage record is appended before the header
//! goes out.

use crate::customers::{Reservation, Settled};
use crate::domain::route::Route;
use crate::ledger::{Kind, Record, RecordDraw};
use crate::problem::Problem;

use super::admission::ledger_unavailable;
use super::context::{Charge, Context, Recorded};
use super::{Parts, methods};

impl Parts {
    /// Charges the request if the status is one that the route charges; else releases what is held.
    /// An error means that nothing was charged and the response must not go out.
    pub(super) async fn charge(
        &self,
        route: &Route,
        status: u16,
        method: &http::Method,
        context: &mut Context,
    ) -> Result<(), Problem> {
        let Charge::Held(mut reservation) = std::mem::take(&mut context.charge) else { return Ok(()) };
        // A switch to another protocol is the success of what was asked for.
        let outcome = if status == 101 { 200 } else { status };
        if route.cost.is_free() || !route.charge_on.contains(outcome) {
            reservation.release();
            return Ok(());
        }
        let now = context.settle_at();
        let Some(settled) = reservation.settle(now) else { return Ok(()) };
        let record = self.record(route, status, method, &reservation, &settled, context);
        let Ok(appended) = self.ledger.append(&record) else {
            reservation.undo(&settled);
            return Err(ledger_unavailable());
        };
        reservation.entry().recorded(appended.0);
        context.charge = Charge::Recorded(Recorded { reservation, settled, number: appended.0, status });
        if self.ledger.durable(appended).await.is_err() {
            self.undo(route, method, context);
            return Err(ledger_unavailable());
        }
        self.counters.drawn(context);
        Ok(())
    }

    /// Takes a recorded charge back with a second, negative record.
    pub(super) fn undo(&self, route: &Route, method: &http::Method, context: &mut Context) {
        let Charge::Recorded(recorded) = std::mem::take(&mut context.charge) else { return };
        let Recorded { reservation, settled, number, status } = recorded;
        reservation.undo(&settled);
        let mut record = self.record(route, status, method, &reservation, &settled, context);
        record.kind = Kind::Correction { of: number };
        for draw in &mut record.draws {
            draw.included = -draw.included;
            draw.credits = -draw.credits;
            draw.overage = -draw.overage;
        }
        self.ledger.correct(record);
    }

    fn record(
        &self,
        route: &Route,
        status: u16,
        method: &http::Method,
        reservation: &Reservation,
        settled: &Settled,
        context: &Context,
    ) -> Record {
        let signed = |units| i64::try_from(units).unwrap_or(i64::MAX);
        let draws = settled.charge.draws.iter().map(|draw| RecordDraw {
            meter: self.numbers.meters[draw.meter.index()],
            included: signed(draw.included),
            credits: signed(draw.credits),
            overage: signed(draw.overage),
        });
        Record {
            number: 0,
            at_micros: context.settle_at().micros(),
            request: context.request_id.bytes(),
            customer: reservation.entry().number,
            member: 0,
            route: self.numbers.routes[route.id.index()],
            tier: settled.tier.map_or(0, |tier| self.numbers.tiers[tier.index()]),
            configuration: self.numbers.configuration,
            period: settled.charge.period,
            kind: Kind::Charge,
            status,
            method: methods::number(method),
            draws: draws.collect(),
            foreign_request: context.foreign_request_id.as_deref().map(|id| id.as_bytes().into()),
        }
    }
}
