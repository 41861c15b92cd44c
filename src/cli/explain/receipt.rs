//! A receipt: everything that is known of one charged request.

use std::rc::Rc;

use uuid::Uuid;

use crate::domain::catalogue::Report;
use crate::domain::methods;
use crate::domain::period::Period;
use crate::ledger::{Kind, Record, RecordDraw, RecordLot};
use crate::store::{MeterEventReceipt, TotalReceipt};

use super::Found;
use crate::cli::Failure;
use crate::cli::books::Books;

/// What was used in the period before the request, for each of its draws.
pub(super) struct Totals {
    pub before: Vec<i64>,
    /// False when the period's first segments have been pruned.
    pub complete: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiptKind {
    Charge,
    Estimate,
    /// Free; of a charged request, if that is still kept.
    Repeat {
        of: Option<Uuid>,
    },
}

impl ReceiptKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Estimate => "estimate",
            Self::Repeat { .. } => "repeat",
        }
    }
}

pub(super) struct Receipt {
    pub request: Uuid,
    pub foreign_request: Option<String>,
    pub record: u64,
    /// The segment that holds the record.
    pub segment: u64,
    pub at_micros: i64,
    pub kind: ReceiptKind,
    pub customer: String,
    pub member: Option<Rc<str>>,
    pub route: Option<Rc<str>>,
    pub tier: Option<Rc<str>>,
    pub method: Option<&'static str>,
    pub status: u16,
    pub period: Period,
    pub has_key: bool,
    pub configuration: u32,
    pub configuration_since: Option<i64>,
    pub charges: Vec<MeterCharge>,
    /// Of which grants its credits were.
    pub lots: Vec<RecordLot>,
    /// Instants of the records that changed it later.
    pub corrected_at: Vec<i64>,
    pub totals_complete: bool,
    /// The node of a fleet that charged it.
    pub node: Option<String>,
    pub others: Vec<Uuid>,
}

/// What the request drew on one meter, and what became of it.
pub(super) struct MeterCharge {
    pub meter: String,
    pub included: i64,
    /// On an operator's override.
    pub extra: i64,
    pub credits: i64,
    pub overage: i64,
    /// What the corrections add; negative where they take back.
    pub correction: i64,
    pub used_before: i64,
    pub event: Result<MeterEventReceipt, NoEvent>,
}

/// Why no meter event carries a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoEvent {
    #[error("it was taken back before it was sealed")]
    TakenBack,
    #[error("it drew on credits or on an operator's override alone: neither is reported")]
    CreditsOnly,
    #[error("billing.report is \"overage\", and it drew on included units")]
    IncludedOnly,
    #[error("its customer has no Stripe customer")]
    NoStripeCustomer,
    #[error("its customer was linked to Stripe after the period had ended")]
    LinkedTooLate,
    #[error("it is not sealed yet: the next flush does that, once earlier usage of its period is answered")]
    NotSealed,
}

impl MeterCharge {
    pub fn units(&self) -> i64 {
        self.included + self.extra + self.credits + self.overage
    }
}

impl Receipt {
    pub fn new(books: &Books, found: Found, totals: Totals) -> Result<Self, Failure> {
        let Found { charge: record, segment, corrections, repeats, others } = found;
        let charges = record.draws.iter().zip(totals.before).map(|(draw, used_before)| {
            let correction = correction_of(&corrections, draw.meter);
            MeterCharge::new(books, &record, draw, correction, used_before)
        });
        Ok(Self {
            charges: charges.collect::<Result<_, _>>()?,
            node: books.config.fleet.as_ref().map(|fleet| fleet.node.clone()),
            request: Uuid::from_bytes(record.request),
            foreign_request: record
                .foreign_request
                .as_deref()
                .map(|id| String::from_utf8_lossy(id).into_owned()),
            record: record.number,
            segment,
            at_micros: record.at_micros,
            kind: match record.kind {
                _ if record.is_repeat() => ReceiptKind::Repeat { of: repeats },
                Kind::Estimate => ReceiptKind::Estimate,
                Kind::Charge | Kind::Correction { .. } => ReceiptKind::Charge,
            },
            customer: books
                .customer(record.customer)?
                .map_or_else(|| "(erased)".into(), |name| name.to_string()),
            member: books.name(record.member)?,
            route: books.name(record.route)?,
            tier: books.name(record.tier)?,
            method: methods::name(record.method),
            status: record.status,
            period: record.period,
            has_key: record.key.is_some(),
            lots: record.lots,
            configuration: record.configuration,
            configuration_since: books.store.configuration_since(record.configuration)?,
            corrected_at: corrections.iter().map(|correction| correction.at_micros).collect(),
            totals_complete: totals.complete,
            others,
        })
    }
}

fn correction_of(corrections: &[Record], meter: u32) -> i64 {
    let draws = corrections.iter().flat_map(|record| &record.draws).filter(|draw| draw.meter == meter);
    draws.map(RecordDraw::units).sum()
}

impl MeterCharge {
    fn new(
        books: &Books,
        record: &Record,
        draw: &RecordDraw,
        correction: i64,
        used_before: i64,
    ) -> Result<Self, Failure> {
        let name = books.name(draw.meter)?;
        let mut charge = Self {
            meter: name.map_or_else(|| format!("#{}", draw.meter), |name| name.to_string()),
            included: draw.included,
            extra: draw.extra,
            credits: draw.credits,
            overage: draw.overage,
            correction,
            used_before,
            event: Err(NoEvent::NotSealed),
        };
        let total = (record.customer, draw.meter, record.period.start);
        let reason = charge.never_reported(books.config.catalogue.report);
        charge.event = match reason {
            Some(reason) => Err(reason),
            None => match books.store.meter_event_of(total, record.number, record.at_micros)? {
                Some(event) => Ok(event),
                None => Err(charge.not_yet(&books.store.total_receipt(total.0, total.1, total.2)?)),
            },
        };
        Ok(charge)
    }

    /// Why Stripe never hears of it.
    fn never_reported(&self, report: Report) -> Option<NoEvent> {
        match (self.included, self.overage) {
            (0, 0) => Some(NoEvent::CreditsOnly),
            (_, 0) if report == Report::Overage => Some(NoEvent::IncludedOnly),
            _ => None,
        }
    }

    /// Why Stripe has not heard of it.
    fn not_yet(&self, total: &TotalReceipt) -> NoEvent {
        match total {
            _ if self.units() + self.correction == 0 => NoEvent::TakenBack,
            TotalReceipt { stripe_customer: None, .. } => NoEvent::NoStripeCustomer,
            TotalReceipt { sealable: Some(false), .. } => NoEvent::LinkedTooLate,
            _ => NoEvent::NotSealed,
        }
    }
}
