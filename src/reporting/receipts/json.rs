//! A receipt for programs.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::domain::period::rfc3339;
use crate::ledger::RecordDraw;
use crate::store::MeterEventReceipt;

use super::receipt::{MeterCharge, Receipt, ReceiptKind, segment_file};

pub fn receipt_json(receipt: &Receipt) -> Value {
    let first_event = receipt.charges.iter().find_map(|charge| charge.event.as_ref().ok());
    let reason = receipt.charges.first().and_then(|charge| charge.event.as_ref().err());
    json!({
        "request_id": receipt.request.to_string(),
        "foreign_request_id": receipt.foreign_request,
        "at": instant(receipt.at_micros),
        "kind": receipt.kind.as_str(),
        "repeat_of": match receipt.kind {
            ReceiptKind::Repeat { of } => of.map(|of| of.to_string()),
            ReceiptKind::Charge | ReceiptKind::Estimate => None,
        },
        "customer": receipt.customer,
        "member": receipt.member.as_deref(),
        "route": receipt.route.as_deref(),
        "method": receipt.method,
        "status": receipt.status,
        "tier": receipt.tier.as_deref(),
        "cost": by_meter(receipt, |charge| json!(charge.units())),
        "drawn": by_meter(receipt, |charge| drawn(&charge.drawn)),
        "grants": receipt.lots.iter().map(|lot| json!({ "grant": lot.grant, "units": lot.units })).collect::<Vec<_>>(),
        "period": { "start": rfc3339(receipt.period.start), "end": rfc3339(receipt.period.end) },
        "totals": by_meter(receipt, |charge| {
            let after = charge.used_before + receipt.counted(charge);
            json!({ "before": charge.used_before, "after": after, "complete": receipt.totals_complete })
        }),
        "corrected": corrected(receipt),
        "idempotency_key": receipt.has_key,
        "in_shadow": receipt.in_shadow,
        "configuration": {
            "fingerprint": format!("{:08x}", receipt.configuration),
            "since": receipt.configuration_since.map(rfc3339),
        },
        "meter_event": first_event.map(event),
        "no_meter_event": if first_event.is_none() { reason.map(ToString::to_string) } else { None },
        "meter_events": by_meter(receipt, |charge| match &charge.event {
            Ok(found) => event(found),
            Err(reason) => json!({ "none": reason.to_string() }),
        }),
        "node": receipt.node,
        "record": { "number": receipt.record, "segment": segment_file(receipt.segment) },
        "earlier_requests": receipt.others.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn by_meter(receipt: &Receipt, value: impl Fn(&MeterCharge) -> Value) -> Map<String, Value> {
    receipt.charges.iter().map(|charge| (charge.meter.clone(), value(charge))).collect()
}

/// Null when nothing was changed later.
fn corrected(receipt: &Receipt) -> Option<Value> {
    let last = receipt.corrected_at.last()?;
    let to = by_meter(receipt, |charge| json!(charge.corrected.units()));
    let drawn = by_meter(receipt, |charge| drawn(&charge.corrected));
    Some(json!({ "at": instant(*last), "cost": to, "drawn": drawn }))
}

fn drawn(draw: &RecordDraw) -> Value {
    let RecordDraw { included, extra, credits, overage, uncovered, .. } = draw;
    let mut drawn = json!({ "included": included, "extra": extra, "credits": credits, "overage": overage });
    if *uncovered != 0 {
        drawn["uncovered"] = json!(uncovered);
    }
    drawn
}

fn event(event: &MeterEventReceipt) -> Value {
    json!({
        "identifier": event.identifier,
        "value": event.value,
        "timestamp": event.timestamp,
        "state": event.state,
        "answer": event.answer,
        "tries": event.tries,
        "settled_at": event.settled_at.map(rfc3339),
    })
}

/// To the microsecond, as the ledger has it.
fn instant(micros: i64) -> String {
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
