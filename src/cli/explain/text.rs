//! A receipt for people.

use crate::domain::period::rfc3339;
use crate::ledger::RecordDraw;
use crate::store::MeterEventReceipt;

use crate::cli::output::{facts, instant, segment_file};
use crate::reporting::{MeterCharge, NoEvent, Receipt, ReceiptKind};

pub(super) fn render(receipt: &Receipt) -> String {
    let word = |name: &Option<String>| name.as_deref().unwrap_or("-").to_owned();
    let mut rows = vec![("request", receipt.request.to_string())];
    if let Some(foreign) = &receipt.foreign_request {
        rows.push(("sent as", foreign.clone()));
    }
    rows.extend([
        ("at", instant(receipt.at_micros)),
        ("route", format!("{} {} → {}", receipt.method.unwrap_or("?"), word(&receipt.route), receipt.status)),
        ("customer", receipt.customer.clone()),
        ("member", word(&receipt.member)),
        ("tier", word(&receipt.tier)),
        ("cost", cost(receipt)),
    ]);
    rows.extend(receipt.charges.iter().map(|charge| ("drew on", drawn(&charge.meter, &charge.drawn))));
    if receipt.in_shadow {
        rows.push(("in shadow", "a limit would have refused it: nothing of it is billed".to_owned()));
    }
    if !receipt.lots.is_empty() {
        rows.push(("credits of", grants(receipt)));
    }
    rows.push(("corrected", corrected(receipt)));
    let changed = receipt.charges.iter().filter(|charge| charge.drawn != charge.corrected);
    rows.extend(changed.map(|charge| ("drew then on", drawn(&charge.meter, &charge.corrected))));
    rows.push(("period", format!("{} to {}", rfc3339(receipt.period.start), rfc3339(receipt.period.end))));
    rows.extend(receipt.charges.iter().map(|charge| ("used", used(receipt, charge))));
    rows.extend(receipt.charges.iter().map(|charge| ("meter event", event(&charge.event))));
    let since = receipt.configuration_since.map_or("-".into(), rfc3339);
    rows.extend([
        ("configuration", format!("{:08x}, first in force {since}", receipt.configuration)),
        ("idempotency key", if receipt.has_key { "yes" } else { "no" }.to_owned()),
        ("record", format!("{} in {}", receipt.record, segment_file(receipt.segment))),
    ]);
    rows.extend(receipt.node.clone().map(|node| ("node", node)));
    rows.extend(receipt.others.iter().map(|other| ("earlier request", other.to_string())));
    facts(&rows)
}

fn cost(receipt: &Receipt) -> String {
    if let ReceiptKind::Repeat { of } = receipt.kind {
        let of = of.map_or("a charged request".to_owned(), |of| of.to_string());
        return format!("nothing: it repeated {of} under its Idempotency-Key");
    }
    let costs: Vec<_> =
        receipt.charges.iter().map(|charge| format!("{}={}", charge.meter, charge.units())).collect();
    let estimate = if receipt.kind == ReceiptKind::Estimate { " (estimate)" } else { "" };
    format!("{}{estimate}", costs.join(", "))
}

fn drawn(meter: &str, draw: &RecordDraw) -> String {
    let RecordDraw { included, extra, credits, overage, uncovered, .. } = draw;
    let overridden = if *extra == 0 { String::new() } else { format!("{extra} by an operator's override, ") };
    let uncovered = if *uncovered == 0 { String::new() } else { format!(", {uncovered} covered by nothing") };
    format!("{meter}: {included} included, {overridden}{credits} credits, {overage} overage{uncovered}")
}

fn grants(receipt: &Receipt) -> String {
    let grants = receipt.lots.iter().map(|lot| format!("grant {}: {}", lot.grant, lot.units));
    grants.collect::<Vec<_>>().join(", ")
}

fn corrected(receipt: &Receipt) -> String {
    let Some(last) = receipt.corrected_at.last() else {
        return if receipt.kind == ReceiptKind::Estimate { "not yet".into() } else { "no".into() };
    };
    let costs: Vec<_> = receipt
        .charges
        .iter()
        .map(|charge| format!("{}={}", charge.meter, charge.corrected.units()))
        .collect();
    let estimate = if receipt.kind == ReceiptKind::Estimate { "estimate, corrected" } else { "yes," };
    format!("{estimate} to {} at {}", costs.join(", "), instant(*last))
}

fn used(receipt: &Receipt, charge: &MeterCharge) -> String {
    let (before, after) = (charge.used_before, charge.used_before + receipt.counted(charge));
    let pruned = if receipt.totals_complete { "" } else { " (without the period's first records: pruned)" };
    format!("{}: {before} before, {after} after{pruned}", charge.meter)
}

fn event(event: &Result<MeterEventReceipt, NoEvent>) -> String {
    let event = match event {
        Ok(event) => event,
        Err(reason) => return format!("none: {reason}"),
    };
    let MeterEventReceipt { identifier, value, timestamp, state, answer, tries, .. } = event;
    let settled = event.settled_at.map_or(String::new(), |at| format!(" at {}", rfc3339(at)));
    let answer = answer.as_ref().map_or(String::new(), |answer| format!("; {answer}"));
    format!("{identifier}, value {value}, timestamp {timestamp}: {state}{settled}, tries: {tries}{answer}")
}
