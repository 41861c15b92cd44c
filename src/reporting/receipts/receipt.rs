//! A receipt: everything that is known of one charged request.

use uuid::Uuid;

use crate::domain::catalogue::Report;
use crate::domain::methods;
use crate::domain::period::Period;
use crate::ledger::{Kind, Record, RecordDraw, RecordLot};
use crate::store::{MeterEventReceipt, TotalReceipt};

use super::{Books, Found, ReceiptError};

/// What was used in the period before the request, for each of its draws.
pub(super) struct Totals {
    pub before: Vec<i64>,
    /// False when the period's first segments have been pruned.
    pub complete: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
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

pub struct Receipt {
    pub request: Uuid,
    pub foreign_request: Option<String>,
    pub record: u64,
    /// The segment that holds the record.
    pub segment: u64,
    pub at_micros: i64,
    pub kind: ReceiptKind,
    pub customer: String,
    pub member: Option<String>,
    pub route: Option<String>,
    pub tier: Option<String>,
    pub method: Option<&'static str>,
    pub status: u16,
    pub period: Period,
    pub has_key: bool,
    /// A limit had refused it: no total holds it.
    pub in_shadow: bool,
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
pub struct MeterCharge {
    pub meter: String,
    pub drawn: RecordDraw,
    /// The same after all corrections.
    pub corrected: RecordDraw,
    pub used_before: i64,
    pub event: Result<MeterEventReceipt, NoEvent>,
}

/// Why no meter event carries a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    #[error("it cost nothing in the end")]
    Nothing,
    #[error("it was taken back before it was sealed")]
    TakenBack,
    #[error(
        "it drew on credits or on an operator's override alone, or nothing paid for it: none is reported"
    )]
    CreditsOnly,
    #[error("billing.report is \"overage\", and it drew on included units")]
    IncludedOnly,
    #[error("its customer has no Stripe customer")]
    NoStripeCustomer,
    #[error("its customer was linked to Stripe after the period had ended")]
    LinkedTooLate,
    #[error("it is an estimate: nothing of it is sealed before its exchange has told what it cost")]
    Open,
    #[error("it is not sealed yet: the next flush does that, once earlier usage of its period is answered")]
    NotSealed,
}

impl MeterCharge {
    pub fn units(&self) -> i64 {
        self.drawn.units()
    }
}

impl Receipt {
    pub(super) fn new(books: &Books<'_>, found: Found, totals: Totals) -> Result<Self, ReceiptError> {
        let Found { charge: record, segment, corrections, repeats, others } = found;
        let charge = |(draw, used_before)| MeterCharge::new(books, &record, draw, &corrections, used_before);
        let charges = record.draws.iter().zip(totals.before).map(charge);
        Ok(Self {
            charges: charges.collect::<Result<_, _>>()?,
            node: books.node.map(str::to_owned),
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
                Kind::Charge | Kind::Slice { .. } | Kind::Correction { .. } => ReceiptKind::Charge,
            },
            customer: books.store.customer_name(record.customer)?.unwrap_or_else(|| "(erased)".to_owned()),
            member: name(books, record.member)?,
            route: name(books, record.route)?,
            tier: name(books, record.tier)?,
            method: methods::name(record.method),
            status: record.status,
            period: record.period,
            has_key: record.key.is_some(),
            in_shadow: record.in_shadow,
            lots: record.lots,
            configuration: record.configuration,
            configuration_since: books.store.configuration_since(record.configuration)?,
            corrected_at: corrections.iter().map(|correction| correction.at_micros).collect(),
            totals_complete: totals.complete,
            others,
        })
    }

    /// Units of a charge that the period's total holds.
    pub fn counted(&self, charge: &MeterCharge) -> i64 {
        if self.in_shadow { 0 } else { charge.units() }
    }
}

/// The name of a route, tier, meter or member; none for 0, which stands for none.
fn name(books: &Books<'_>, number: u32) -> Result<Option<String>, ReceiptError> {
    if number == 0 { Ok(None) } else { Ok(books.store.name(number)?) }
}

/// The name of a segment's file.
pub fn segment_file(segment: u64) -> String {
    format!("{segment:016}.seg")
}

fn truth_of<'a>(estimate: &Record, corrections: &'a [Record]) -> Option<&'a Record> {
    corrections.iter().find(|correction| correction.kind == Kind::Correction { of: estimate.number })
}

/// A draw with what its corrections add to it.
fn corrected(draw: &RecordDraw, corrections: &[Record]) -> RecordDraw {
    let changes = corrections.iter().flat_map(|record| &record.draws).filter(|of| of.meter == draw.meter);
    changes.fold(*draw, |sum, change| RecordDraw {
        meter: sum.meter,
        included: sum.included + change.included,
        extra: sum.extra + change.extra,
        credits: sum.credits + change.credits,
        overage: sum.overage + change.overage,
        uncovered: sum.uncovered + change.uncovered,
    })
}

impl MeterCharge {
    fn new(
        books: &Books<'_>,
        record: &Record,
        draw: &RecordDraw,
        corrections: &[Record],
        used_before: i64,
    ) -> Result<Self, ReceiptError> {
        let name = name(books, draw.meter)?;
        let mut charge = Self {
            meter: name.unwrap_or_else(|| format!("#{}", draw.meter)),
            drawn: *draw,
            corrected: corrected(draw, corrections),
            used_before,
            event: Err(NoEvent::NotSealed),
        };
        // An estimate is sealed with its truth: by the first event that reaches beyond that.
        let (sealed_with, is_open) = match (record.kind, truth_of(record, corrections)) {
            (Kind::Estimate, Some(truth)) => (truth, false),
            (Kind::Estimate, None) => (record, true),
            _ => (record, false),
        };
        let total = (record.customer, draw.meter, sealed_with.period.start);
        let reason = charge.never_reported(books.report);
        charge.event = match reason {
            Some(reason) => Err(reason),
            None => match books.store.meter_event_of(total, sealed_with.number, record.at_micros)? {
                Some(event) => Ok(event),
                None if is_open => Err(NoEvent::Open),
                None => Err(charge.not_yet(&books.store.total_receipt(total.0, total.1, total.2)?)),
            },
        };
        Ok(charge)
    }

    /// Why Stripe never hears of it.
    fn never_reported(&self, report: Report) -> Option<NoEvent> {
        let taken_back = self.corrected.units() == 0 && self.drawn.units() != 0;
        let drawn = if taken_back { &self.drawn } else { &self.corrected };
        match (drawn.included, drawn.overage) {
            (0, 0) if drawn.units() == 0 => Some(NoEvent::Nothing),
            (0, 0) => Some(NoEvent::CreditsOnly),
            (_, 0) if report == Report::Overage => Some(NoEvent::IncludedOnly),
            _ => None,
        }
    }

    /// Why Stripe has not heard of it.
    fn not_yet(&self, total: &TotalReceipt) -> NoEvent {
        match total {
            _ if self.corrected.units() == 0 => NoEvent::TakenBack,
            TotalReceipt { stripe_customer: None, .. } => NoEvent::NoStripeCustomer,
            TotalReceipt { sealable: Some(false), .. } => NoEvent::LinkedTooLate,
            _ => NoEvent::NotSealed,
        }
    }
}
