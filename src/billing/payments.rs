//! What an invoice or a payment stands for: money that came or did not, and the plan that it paid for.

use crate::domain::catalogue::Catalogue;
use crate::domain::subscription::{Facts, ItemFacts};
use crate::domain::tier::TierId;
use crate::store::{PaymentKind, PaymentRow};
use crate::stripe::{Invoice, InvoiceLine, PaymentIntent, PaymentState};

/// The payment that an invoice tells of; none while nothing was collected or tried, and where nothing is owed.
pub(super) fn of_invoice(
    invoice: &Invoice,
    facts: Option<&Facts>,
    customer: Option<u32>,
    now: i64,
) -> Option<PaymentRow> {
    let (amount, at) = if invoice.is_paid() && invoice.amount_paid > 0 {
        (invoice.amount_paid, invoice.paid_at.unwrap_or(invoice.created))
    } else if invoice.has_failed() {
        (invoice.amount_due, now)
    } else {
        return None;
    };
    let usage = invoice.lines.iter().filter(|line| is_usage(line, invoice, facts));
    Some(PaymentRow {
        id: invoice.id.clone(),
        customer,
        stripe_customer: invoice.customer.clone(),
        kind: PaymentKind::Invoice,
        succeeded: invoice.is_paid(),
        attempts: invoice.attempt_count,
        amount,
        overage: usage.fold(0, |sum: i64, line| sum.saturating_add(line.amount)),
        currency: invoice.currency.clone(),
        at,
        reason: None,
    })
}

/// The payment that is no invoice's; none while it is open.
pub(super) fn single(payment: &PaymentIntent, customer: u32, now: i64) -> Option<PaymentRow> {
    let succeeded = match payment.state {
        PaymentState::Succeeded => true,
        PaymentState::Failed => false,
        PaymentState::Open => return None,
    };
    Some(PaymentRow {
        id: payment.id.clone(),
        customer: Some(customer),
        stripe_customer: payment.customer.clone(),
        kind: PaymentKind::Single,
        succeeded,
        attempts: 1,
        amount: payment.amount,
        overage: 0,
        currency: payment.currency.clone(),
        at: now,
        reason: payment.failure.clone().filter(|_| !succeeded),
    })
}

/// The prices that an invoice has paid a period for in advance, the latest period first: one of them is a tier's.
/// None for what is no cycle's (a change within a period, an invoice by hand), for usage, and for a trial, which
/// nobody pays.
pub(super) fn cycle_prices<'a>(invoice: &'a Invoice, facts: Option<&Facts>) -> Vec<&'a str> {
    let of_a_cycle = matches!(invoice.billing_reason.as_str(), "subscription_create" | "subscription_cycle");
    if !invoice.is_paid() || !of_a_cycle {
        return Vec::new();
    }
    let trial = facts.and_then(|facts| facts.trial_start.zip(facts.trial_end));
    let in_trial = |at: i64| trial.is_some_and(|(start, end)| (start..end).contains(&at));
    let is_paid_for = |line: &&InvoiceLine| {
        let free = line.amount == 0 && in_trial(line.period_start);
        !line.proration && !free && !is_usage(line, invoice, facts)
    };
    let mut lines: Vec<&InvoiceLine> = invoice.lines.iter().filter(is_paid_for).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.period_start));
    lines.into_iter().filter_map(|line| line.price.as_deref()).collect()
}

/// The tier of a price, where the subscription still has it or the catalogue names its id.
pub(super) fn tier_of(price: &str, facts: Option<&Facts>, catalogue: &Catalogue) -> Option<TierId> {
    let item = facts.and_then(|facts| item_of(facts, price));
    catalogue.tier_of_price(price, item.and_then(|item| item.lookup_key.as_deref()))
}

/// Billed after the fact: by a meter, or for a span of time that was over when the invoice was made.
fn is_usage(line: &InvoiceLine, invoice: &Invoice, facts: Option<&Facts>) -> bool {
    let item = line.price.as_deref().zip(facts).and_then(|(price, facts)| item_of(facts, price));
    let is_over = line.period_start < line.period_end && line.period_end <= invoice.created;
    item.map_or(!line.proration && is_over, |item| item.metered)
}

fn item_of<'a>(facts: &'a Facts, price: &str) -> Option<&'a ItemFacts> {
    facts.items.iter().find(|item| item.price == price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::subscription::Status;

    fn item(price: &str, metered: bool) -> ItemFacts {
        ItemFacts {
            id: String::new(),
            price: price.to_owned(),
            lookup_key: None,
            metered,
            interval: "month".to_owned(),
            interval_count: 1,
            period_start: 0,
            period_end: 0,
            unit_amount: None,
            quantity: None,
        }
    }

    fn facts() -> Facts {
        Facts {
            id: "sub_1".to_owned(),
            stripe_customer: "cus_1".to_owned(),
            status: Status::Active,
            items: vec![item("flat", false), item("meter", true)],
            billing_cycle_anchor: 0,
            cancel_at: None,
            cancel_at_period_end: false,
            past_due_since: None,
            trial_start: None,
            trial_end: None,
            currency: None,
            read_at: None,
        }
    }

    fn line(price: &str, amount: i64, (period_start, period_end): (i64, i64)) -> InvoiceLine {
        InvoiceLine { price: Some(price.to_owned()), amount, period_start, period_end, proration: false }
    }

    /// Of a period's end at 1,000: the usage until then, and the fee for the next one.
    fn invoice(status: &str) -> Invoice {
        Invoice {
            id: "in_1".to_owned(),
            status: status.to_owned(),
            billing_reason: "subscription_cycle".to_owned(),
            amount_due: 10_500,
            amount_paid: if status == "paid" { 10_500 } else { 0 },
            attempt_count: 1,
            created: 1_000,
            paid_at: Some(1_060),
            lines: vec![
                line("meter", 0, (0, 1_000)),
                line("meter", 600, (0, 1_000)),
                line("flat", 9_900, (1_000, 2_000)),
            ],
            ..Invoice::default()
        }
    }

    #[test]
    fn an_invoice_is_a_payment_once_it_is_paid_or_an_attempt_has_failed() {
        let row = |invoice: &Invoice, facts: Option<&Facts>| of_invoice(invoice, facts, Some(7), 5_000);
        for facts in [Some(&facts()), None] {
            let paid = row(&invoice("paid"), facts).expect("a payment");
            assert_eq!((paid.succeeded, paid.amount, paid.overage, paid.at), (true, 10_500, 600, 1_060));
        }
        let failed = row(&invoice("open"), None).expect("a payment");
        assert_eq!((failed.succeeded, failed.amount, failed.at), (false, 10_500, 5_000));
        let untried = Invoice { attempt_count: 0, ..invoice("open") };
        let nothing_owed = Invoice { amount_paid: 0, ..invoice("paid") };
        for none in [untried, nothing_owed, invoice("draft"), invoice("void")] {
            assert_eq!(row(&none, None), None, "{none:?}");
        }
    }

    #[test]
    fn a_cycle_is_paid_by_the_fee_for_the_next_period_alone() {
        let facts = facts();
        for facts in [Some(&facts), None] {
            let prices = |invoice: &Invoice| cycle_prices(invoice, facts).join(" ");
            assert_eq!(prices(&invoice("paid")), "flat");
            assert_eq!(prices(&invoice("open")), "");
            let change = Invoice { billing_reason: "subscription_update".to_owned(), ..invoice("paid") };
            assert_eq!(prices(&change), "");
            let mut usage = invoice("paid");
            usage.lines.truncate(2);
            assert_eq!(prices(&usage), "", "a yearly plan's monthly usage");
            let mut with_setup = invoice("paid");
            with_setup.lines.push(line("setup", 5_000, (900, 900)));
            with_setup.lines[2].proration = true;
            with_setup.lines.push(line("pro", 19_900, (1_000, 2_000)));
            assert_eq!(prices(&with_setup), "pro setup");
        }
    }

    #[test]
    fn what_is_billed_for_an_instant_is_no_overage() {
        let mut by_hand = invoice("paid");
        by_hand.lines = vec![line("setup", 5_000, (900, 900))];
        assert_eq!(of_invoice(&by_hand, None, None, 0).map(|row| row.overage), Some(0));
    }

    #[test]
    fn a_trial_is_no_paid_cycle_and_what_costs_nothing_without_one_is() {
        let trial = Facts { trial_start: Some(900), trial_end: Some(1_500), ..facts() };
        let after = Facts { trial_start: Some(100), trial_end: Some(1_000), ..facts() };
        let mut free = invoice("paid");
        free.lines = vec![line("flat", 0, (1_000, 1_500))];
        assert_eq!(cycle_prices(&free, Some(&trial)), [""; 0]);
        assert_eq!(cycle_prices(&free, Some(&facts())), ["flat"]);
        assert_eq!(cycle_prices(&free, Some(&after)), ["flat"]);
    }
}
