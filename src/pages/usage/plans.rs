//! What is sold, and what the customer can make of their subscription.

use maud::{Markup, html};
use rust_decimal::Decimal;

use super::Usage;
use super::acts::form;
use super::answers::{Beyond, Bound, Pack, Pricing, Status, Tier};
use super::overview::Shown;
use super::visit::Visit;
use crate::config::Proration;
use crate::pages::parts::words::{money, number, words};

/// What there is to do with a tier.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Subscribe,
    Upgrade,
    Downgrade,
    /// Of the same tier: how often it is billed.
    Rebill,
}

pub(super) fn panel(usage: &Usage, visit: &Visit<'_>, shown: &Shown) -> Markup {
    let Shown { status, pricing, invoices, .. } = shown;
    let is_known = status.status != "no_subscription"
        || invoices.as_ref().is_ok_and(|invoices| !invoices.data.is_empty());
    html! {
        section.panel aria-labelledby="plans" {
            h2 id="plans" { "Plans" }
            div.plans { @for tier in sold(pricing, status) { (plan(usage, visit, shown, tier)) } }
        }
        @if !pricing.credit_packs.is_empty() {
            section.panel aria-labelledby="credits" {
                h2 id="credits" { "Buy credits" }
                p.quiet { "Credits are drawn on when the included units are used." }
                div.acts { @for pack in &pricing.credit_packs { (credits(visit, &usage.base, pricing, pack)) } }
            }
        }
        @if is_known || status.has_subscription {
            section.panel aria-labelledby="manage" {
                h2 id="manage" { "Subscription" }
                div.acts { (manage(visit, &usage.base, status)) }
            }
        }
    }
}

/// What can be bought, and what the customer has.
fn sold<'a>(pricing: &'a Pricing, status: &'a Status) -> impl Iterator<Item = &'a Tier> {
    let is_shown = |tier: &&Tier| {
        tier.price.monthly.is_some() || tier.price.yearly.is_some() || is_current(tier, status)
    };
    pricing.tiers.iter().filter(is_shown)
}

/// Whatever an operator has set over it: a change is a change of what is billed.
fn is_current(tier: &Tier, status: &Status) -> bool {
    status.billed_tier.as_deref() == Some(tier.name.as_str())
}

fn plan(usage: &Usage, visit: &Visit<'_>, shown: &Shown, tier: &Tier) -> Markup {
    let Shown { status, pricing, .. } = shown;
    let currency = &pricing.currency;
    let prices = [("monthly", "month", &tier.price.monthly), ("yearly", "year", &tier.price.yearly)];
    let prices: Vec<_> =
        prices.into_iter().filter_map(|(cycle, per, price)| Some((cycle, per, price.as_deref()?))).collect();
    html! {
        article.plan aria-labelledby={ "plan-" (tier.name) } {
            h3 id={ "plan-" (tier.name) } {
                (tier.name) " "
                @if is_current(tier, status) { span.state.good { "your plan" } }
            }
            @if prices.is_empty() { p.price { "Free" } }
            @for (_, per, price) in &prices {
                p.price { strong { (money(price, currency)) } " per " (per) }
            }
            ul.quiet {
                @for (meter, included) in &tier.included { li { (includes(meter, included)) } }
                (beyond(&tier.overage, currency))
                @for feature in &tier.features { li { (words(feature)) } }
                @if let Some(trial) = &tier.trial { @if status.permissions.can_purchase { li { (trial_of(trial)) } } }
            }
            @if let Some(choice) = choice(tier, shown) {
                @for (cycle, per, price) in &prices {
                    (button(usage, visit, tier, choice, (cycle, per), &money(price, currency)))
                }
            }
        }
    }
}

/// Of `14d`.
fn trial_of(trial: &str) -> String {
    let days = trial.strip_suffix('d').map(|days| format!("{days} days"));
    format!("{} of trial", days.as_deref().unwrap_or(trial))
}

fn includes(meter: &str, included: &Bound) -> String {
    match included {
        Bound::Units(units) => format!("{} {} included", count(*units), words(meter)),
        Bound::Unlimited(_) => format!("{} without limit", words(meter)),
    }
}

fn beyond(overage: &Beyond, currency: &str) -> Markup {
    match overage {
        Beyond::Denied(_) => html! { li { "no overage" } },
        Beyond::Priced { unit_amount, cap } => html! {
            @for (meter, amount) in unit_amount {
                li { (money(amount, currency)) " per further unit of " (words(meter)) }
            }
            @if let Some(cap) = cap { li { "overage up to " (money(cap, currency)) } }
        },
    }
}

/// Nothing where a payment is to be settled first.
fn choice(tier: &Tier, shown: &Shown) -> Option<Choice> {
    let status = &shown.status;
    if status.permissions.can_purchase {
        return Some(Choice::Subscribe);
    }
    if !matches!(status.status.as_str(), "trialing" | "active" | "past_due") {
        return None;
    }
    if is_current(tier, status) {
        let both = tier.price.monthly.is_some() && tier.price.yearly.is_some();
        return both.then_some(Choice::Rebill);
    }
    let current = shown.pricing.tiers.iter().find(|known| is_current(known, status)).and_then(monthly);
    Some(if monthly(tier) > current { Choice::Upgrade } else { Choice::Downgrade })
}

/// What a month of the tier costs; nothing where it has no price.
fn monthly(tier: &Tier) -> Option<Decimal> {
    let yearly = || Some(tier.price.yearly.as_deref()?.parse::<Decimal>().ok()? / Decimal::from(12));
    tier.price.monthly.as_deref().and_then(|price| price.parse().ok()).or_else(yearly)
}

/// A change of a running subscription is asked for twice: it costs at once, or takes something away.
fn button(
    usage: &Usage,
    visit: &Visit<'_>,
    tier: &Tier,
    choice: Choice,
    (cycle, per): (&str, &str),
    price: &str,
) -> Markup {
    let name = &tier.name;
    let fields = [("tier", name.as_str()), ("cycle", cycle)];
    let label = match choice {
        Choice::Subscribe => {
            let button = html! { button.main { "Subscribe to " (name) ", " (cycle) } };
            return form(visit, &usage.base, "checkout", &fields, &button);
        }
        Choice::Upgrade => format!("Upgrade to {name}, {cycle}"),
        Choice::Downgrade => format!("Downgrade to {name}, {cycle}"),
        Choice::Rebill => format!("Bill {name} {cycle}"),
    };
    html! {
        details.act {
            summary.button { (label) }
            p.small { "From now on " (price) " per " (per) ". " (set_off(usage.settings.proration)) }
            (form(visit, &usage.base, "change", &fields, &html! { button.main { "Confirm: " (label) } }))
        }
    }
}

/// What becomes of what is paid already.
fn set_off(proration: Proration) -> &'static str {
    match proration {
        Proration::Next => "What is paid already is set off on the next invoice.",
        Proration::Now => "What is paid already is set off, and the difference is invoiced at once.",
        Proration::None => "What is paid already is not set off.",
    }
}

fn credits(visit: &Visit<'_>, base: &str, pricing: &Pricing, pack: &Pack) -> Markup {
    let price = money(&pack.price, &pricing.currency);
    let button = html! { button { (count(pack.units)) " credits for " (price) } };
    form(visit, base, "checkout", &[("credits", &pack.name)], &button)
}

fn manage(visit: &Visit<'_>, base: &str, status: &Status) -> Markup {
    let can_resume = status.has_subscription && (status.cancel_at_period_end || status.status == "paused");
    let can_cancel = status.has_subscription && !status.cancel_at_period_end;
    let portal = html! { button { "Payment methods and invoices" } };
    html! {
        (form(visit, base, "portal", &[], &portal))
        @if can_resume {
            (form(visit, base, "resume", &[], &html! { button.main { "Resume subscription" } }))
        }
        @if can_cancel {
            details.act {
                summary.button { "Cancel subscription" }
                p.small { "It stays until the end of what is paid for, and can be resumed until then." }
                (form(visit, base, "cancel", &[], &html! { button.danger { "Confirm: cancel subscription" } }))
            }
        }
    }
}

fn count(units: u64) -> String {
    number(i64::try_from(units).unwrap_or(i64::MAX))
}
