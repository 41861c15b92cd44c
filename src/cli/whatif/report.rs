//! What a replay found, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::cli::output::instant;
use crate::cli::table::table;
use crate::domain::tier::Price;

use super::Span;
use super::sums::{Compared, Sides, Sums, compare};

/// Customers that are shown to people.
const MOST_CUSTOMERS: usize = 20;

const UNFAILING: &str = "writing to memory does not fail";

pub(super) fn json(books: &Books, mut sides: Sides, span: &Span) -> Result<String, Failure> {
    let (tiers, customers) = compare(&mut sides, books)?;
    let has_current = sides.current.is_some();
    let mut report = json!({
        "since": instant(span.since),
        "until": (span.until < i64::MAX).then(|| instant(span.until)),
        "records": sides.records,
        "currency": sides.new.mapping.catalogue.currency.code(),
        "has_current": has_current,
        "tiers": tiers.iter().map(|tier| {
            let mut row = row(tier);
            row["customers"] = json!(tier.customers);
            let flat = |of: fn(Price) -> Option<Decimal>| {
                let [current, new] = tier.flat.map(|price| amount(price.and_then(of)));
                json!({ "current": current, "new": new })
            };
            row["flat"] = json!({
                "monthly": flat(|price| price.monthly),
                "yearly": flat(|price| price.yearly),
                "difference": has_current.then(|| amount(tier.flat_difference())),
            });
            row
        }).collect::<Vec<_>>(),
        "notes": notes(&sides),
    });
    let rows = customers.iter().map(|customer| {
        let mut row = row(customer);
        row["tier"] = json!(customer.tier);
        row
    });
    report["customers"] = rows.collect();
    Ok(format!("{report}\n"))
}

fn amount(amount: Option<Decimal>) -> Option<String> {
    amount.map(|amount| amount.to_string())
}

fn row(compared: &Compared) -> Value {
    let refused = |sums: &Sums| json!(sums.refused);
    let mut meters = Map::new();
    for name in meter_names(compared) {
        let of = |sums: &Sums| sums.meters.get(name).copied().unwrap_or_default();
        let (recorded, new, current) =
            (of(&compared.recorded), of(&compared.new), compared.current.as_ref().map(of));
        meters.insert(name.clone(), json!({
            "units": { "recorded": recorded.units, "current": current.map(|m| m.units), "new": new.units },
            "overage": { "current": current.map(|m| m.overage), "new": new.overage },
            "amount": { "current": current.map(|m| m.amount.to_string()), "new": new.amount.to_string() },
        }));
    }
    json!({
        "name": compared.name,
        "requests": compared.recorded.requests,
        "refused": { "current": compared.current.as_ref().map(refused), "new": refused(&compared.new) },
        "meters": meters,
        "amount_difference": amount(compared.amount()),
    })
}

fn meter_names(compared: &Compared) -> BTreeSet<&String> {
    let sums = [Some(&compared.recorded), compared.current.as_ref(), Some(&compared.new)];
    sums.into_iter().flatten().flat_map(|sums| sums.meters.keys()).collect()
}

pub(super) fn text(books: &Books, mut sides: Sides, span: &Span) -> Result<String, Failure> {
    let (tiers, customers) = compare(&mut sides, books)?;
    let until = if span.until < i64::MAX { instant(span.until) } else { "now".into() };
    let code = sides.new.mapping.catalogue.currency.code();
    let before = if sides.current.is_some() { "current" } else { "recorded" };
    let mut text = format!(
        "{} records from {} to {until}; {before} beside new; amounts in {code}\n\n",
        sides.records,
        instant(span.since),
    );
    text += "Refusals\n";
    text += &refusals(&tiers, before);
    text += "\nUnits and overage\n";
    text += &overage(&tiers, before);
    text += "\nFlat fees, a month of those who were seen, apart from the above and not prorated\n";
    text += &flat(&tiers, sides.current.is_some());
    let differ = |customer: &&Compared| {
        customer.refusals() != 0
            || customer.amount().unwrap_or_else(|| customer.new.amount()) != Decimal::ZERO
    };
    let differing: Vec<_> = customers.iter().filter(differ).collect();
    writeln!(text, "\nCustomers: {} of {} differ", differing.len(), customers.len()).expect(UNFAILING);
    if !differing.is_empty() {
        let shown = &differing[..differing.len().min(MOST_CUSTOMERS)];
        text += &table(&["customer", "tier", "requests", "refusals", "amount"], &people(shown));
    }
    for note in notes(&sides) {
        write!(text, "\nnote: {note}").expect(UNFAILING);
    }
    Ok(text + "\n")
}

fn refusals(tiers: &[Compared], before: &str) -> String {
    let mut rows = Vec::new();
    for tier in tiers {
        let codes: BTreeSet<_> = tier.before().refused.keys().chain(tier.new.refused.keys()).collect();
        for code in codes {
            let of = |sums: &Sums| sums.refused.get(code).copied().unwrap_or(0);
            let (then, now) = (of(tier.before()), of(&tier.new));
            let difference = i128::from(now) - i128::from(then);
            let row = [&tier.name, *code, &then.to_string(), &now.to_string(), &difference.to_string()];
            rows.push(row.map(str::to_owned).to_vec());
        }
    }
    if rows.is_empty() {
        "none\n".into()
    } else {
        table(&["tier", "code", before, "new", "difference"], &rows)
    }
}

fn overage(tiers: &[Compared], before: &str) -> String {
    let mut rows = Vec::new();
    for tier in tiers {
        for meter in meter_names(tier) {
            let of = |sums: &Sums| sums.meters.get(meter).copied().unwrap_or_default();
            let (then, now) = (of(tier.before()), of(&tier.new));
            let known = tier.current.as_ref().map(of);
            let amounts = known.map(|current| (current.amount, now.amount.saturating_sub(current.amount)));
            let shown = |amount: Option<Decimal>| amount.map_or("-".to_owned(), |amount| amount.to_string());
            rows.push(vec![
                tier.name.clone(),
                meter.clone(),
                then.units.to_string(),
                now.units.to_string(),
                known.map_or("-".to_owned(), |current| current.overage.to_string()),
                now.overage.to_string(),
                shown(amounts.map(|(current, _)| current)),
                now.amount.to_string(),
                shown(amounts.map(|(_, difference)| difference)),
            ]);
        }
    }
    let units = format!("{before} units");
    let head = [
        "tier",
        "meter",
        &units,
        "new units",
        "overage",
        "new overage",
        "amount",
        "new amount",
        "difference",
    ];
    table(&head, &rows)
}

fn flat(tiers: &[Compared], has_current: bool) -> String {
    let price = |price: Option<Price>| {
        let Price { monthly, yearly } = price.unwrap_or_default();
        let yearly = yearly.map(|yearly| format!("{yearly}/year"));
        let shown: Vec<_> = amount(monthly).into_iter().chain(yearly).collect();
        if shown.is_empty() { "-".to_owned() } else { shown.join(" or ") }
    };
    let row = |tier: &Compared| {
        let difference = if has_current { amount(tier.flat_difference()) } else { None };
        let ([before, after], customers) = (tier.flat.map(price), tier.customers.to_string());
        vec![tier.name.clone(), customers, before, after, difference.unwrap_or_else(|| "-".to_owned())]
    };
    let rows: Vec<_> = tiers.iter().map(row).collect();
    table(&["tier", "customers", "price", "new price", "difference"], &rows)
}

fn people(customers: &[&Compared]) -> Vec<Vec<String>> {
    let row = |customer: &&Compared| {
        let amount = customer.amount().unwrap_or_else(|| customer.new.amount());
        let requests = customer.recorded.requests.to_string();
        let (name, tier) = (customer.name.clone(), customer.tier.clone());
        vec![name, tier, requests, customer.refusals().to_string(), amount.to_string()]
    };
    customers.iter().map(row).collect()
}

/// What the figures do not say.
fn notes(sides: &Sides) -> Vec<String> {
    let mut notes = vec![
        "requests that were refused at the time are not in the ledger, unless they were served in shadow"
            .to_owned(),
    ];
    if let Some(begins) = sides.begins {
        notes.push(format!("what is older than {} has been removed from the ledger", instant(begins)));
    }
    if sides.is_of_fleet {
        notes.push("this is the usage of this node of the fleet alone".into());
    }
    if sides.current.is_none() {
        notes.push("without --current the amounts of before are not known".into());
    }
    let current = sides.current.iter().flat_map(|side| side.mapping.notes.iter());
    notes.extend(current.map(|note| format!("current: {note}")));
    notes.extend(sides.new.mapping.notes.iter().map(|note| format!("new: {note}")));
    let unused = sides.new.mapping.unused_routes();
    if !unused.is_empty() {
        notes.push(format!("new: no recorded request came under {}", unused.join(", ")));
    }
    notes
}
