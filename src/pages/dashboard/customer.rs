//! `/dashboard/customer?name=`: one customer, and what an operator can do for them.

mod forms;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Dashboard;
use super::answers::{AuditRow, Catalogue, Charge, Credit, Customer, List, Usage, UsageRow};
use super::api::{Api, encoded, with_query};
use super::charge::drawn_on;
use super::door::Operator;
use super::frame::{self, Question, state, table};
use super::listing::all;
use super::{audit, receipt};
use crate::pages::parts::chart::{Chart, Kind, chart};
use crate::pages::parts::words::{instant, money, number, value, words};
use crate::problem::Problem;

pub const PATH: &str = "/dashboard/customer";

#[derive(Deserialize)]
pub struct Asked {
    name: String,
    said: Option<String>,
}

pub async fn page(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(Asked { name, said }): Question<Asked>,
) -> Response {
    let top = frame::said(said.as_deref());
    shown(&dashboard.api, &operator, &name, &top).await
}

/// The page, with something said at its top.
pub async fn shown(api: &Api, operator: &Operator, name: &str, top: &Markup) -> Response {
    let content = content(api, operator, name, top).await;
    frame::page_or_problem(operator, name, "Customers", content)
}

/// The admin API's path of a customer.
pub fn path_of(name: &str, rest: &str) -> String {
    format!("/admin/customers/{}{rest}", encoded(name))
}

async fn content(api: &Api, operator: &Operator, name: &str, top: &Markup) -> Result<Markup, Problem> {
    let customer: Customer = api.get(&path_of(name, "")).await?;
    let catalogue: Catalogue = api.get("/admin/catalogue").await?;
    // What cannot be read leaves the rest, and what can be done, where it is.
    let paths = [
        path_of(name, "/usage?by=day"),
        path_of(name, "/credits?limit=10"),
        path_of(name, "/charges?limit=25"),
    ];
    let audit_path = with_query("/admin/audit", &[("customer", name), ("limit", "10")]);
    let (days, credits, charges, acts) = tokio::join!(
        api.get::<List<UsageRow>>(&paths[0]),
        api.get::<List<Credit>>(&paths[1]),
        api.get::<List<Charge>>(&paths[2]),
        api.get::<List<AuditRow>>(&audit_path),
    );
    Ok(html! {
        (head(&customer))
        (top)
        div.grid {
            section.panel { h2 { "State" } (facts(&customer)) }
            section.panel { h2 { "This period" } (usage(&customer, &catalogue.currency)) }
        }
        section.panel {
            h2 { "Usage by day" }
            (all(&days, "Nothing has been used in this period.", by_day))
        }
        @if customer.erased_at.is_none() {
            div.grid {
                (forms::credits(operator, &customer))
                (forms::overrides(operator, &customer, &catalogue))
            }
            (forms::acts(operator, &customer))
        }
        section.panel { h2 { "Credits" } (all(&credits, "There have never been any.", history)) }
        section.panel { h2 { "Latest charges" } (all(&charges, "Nothing has been charged lately.", charged)) }
        (subscriptions(&customer))
        (members(&customer))
        section.panel {
            h2 { "What has been done" }
            (all(&acts, "Nothing has been changed by anybody.", |acts| audit::rows(acts, false)))
        }
    })
}

fn head(customer: &Customer) -> Markup {
    html! {
        div.head {
            div {
                h1 { (customer.customer) }
                p.lead {
                    (state(&customer.status))
                    @if customer.blocked.is_some() { " " (state("blocked")) }
                    @if customer.overridden.is_some() { " " (state("override")) }
                    @if customer.erased_at.is_some() { " " (state("erased")) }
                }
            }
            div.acts {
                a.button href=(with_query(receipt::PATH, &[("name", &customer.customer)])) { "Receipt of this period" }
            }
        }
    }
}

fn facts(customer: &Customer) -> Markup {
    let instant_or_none = |at: &Option<String>| at.as_deref().map_or_else(|| "–".to_owned(), instant);
    let limits = customer.limits.iter().map(|(name, limit)| format!("{name} {}", value(limit)));
    let limits: Vec<String> = limits.collect();
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    html! {
        dl.facts {
            dt { "Tier" }
            dd {
                (customer.tier.as_deref().unwrap_or("none"))
                @if customer.billed_tier != customer.tier {
                    " (billed as " (customer.billed_tier.as_deref().unwrap_or("none")) ")"
                }
            }
            dt { "Requests" } dd { @if customer.permissions.can_use { "admitted" } @else { "refused" } }
            @if let Some(blocked) = &customer.blocked {
                dt { "Blocked because" } dd { (or_none(blocked.reason.clone())) }
            }
            @if let Some(set) = &customer.overridden {
                dt { "Override" }
                dd {
                    @if let Some(tier) = &set.tier { "tier " (tier) "; " }
                    @for (meter, units) in &set.included { (value(units)) " " (meter) "; " }
                    "until " (set.until.as_deref().map_or_else(|| "it is taken back".to_owned(), instant))
                    ": " (set.reason)
                }
            }
            dt { "Period" } dd { (instant(&customer.period.start)) " to " (instant(&customer.period.end)) }
            dt { "Ends" }
            dd { (instant_or_none(&customer.expires_at)) @if customer.cancel_at_period_end { ", cancelled" } }
            dt { "Stripe customer" }
            dd {
                @if let Some(id) = &customer.stripe_customer { span.code { (id) } } @else { "not linked" }
                @if let Some(by) = &customer.linked_by { ", by " (words(by)) }
            }
            dt { "Features" } dd { (or_none(customer.features.join(", "))) }
            dt { "Limits" } dd { (or_none(limits.join(", "))) }
            dt { "First seen" } dd { (instant(&customer.first_seen)) }
            dt { "In this state since" } dd { (instant_or_none(&customer.state_since)) }
        }
    }
}

fn usage(customer: &Customer, currency: &str) -> Markup {
    html! {
        @for (meter, usage) in &customer.usage {
            h3 { (meter) }
            (bar(meter, usage))
            dl.facts {
                dt { "Used" } dd { (number(usage.current)) " of " (value(&usage.included)) " included" }
                dt { "Remaining" } dd { (value(&usage.remaining)) }
                dt { "Overage" } dd { (number(usage.overage)) " units, " (money(&usage.overage_amount, currency)) }
            }
            hr;
        }
        dl.facts { dt { "Credits" } dd { (number(i64::try_from(customer.credits).unwrap_or(i64::MAX))) " units" } }
    }
}

/// Nothing where there is no bound.
fn bar(meter: &str, usage: &Usage) -> Markup {
    let Some(included) = usage.included.as_i64().filter(|included| *included > 0) else { return html! {} };
    let (used, high) = (usage.current.clamp(0, included), included - included / 10);
    html! {
        meter min="0" max=(included) low=(included - included / 4) high=(high) optimum="0" value=(used)
            aria-label={ (meter) ": used of what is included" } {
            (number(usage.current)) " of " (number(included))
        }
    }
}

fn by_day(rows: &[UsageRow]) -> Markup {
    let mut meters: Vec<&str> = rows.iter().map(|row| row.meter.as_str()).collect();
    meters.sort_unstable();
    meters.dedup();
    html! {
        @for meter in meters {
            @let points: Vec<_> = rows.iter().filter(|row| row.meter == meter)
                .map(|row| (row.of.clone(), row.units)).collect();
            (chart(&Chart { title: meter, of: ("Day", "Units"), points: &points, kind: Kind::Bars }))
        }
    }
}

fn history(rows: &[Credit]) -> Markup {
    let head = [
        ("At", false),
        ("What", false),
        ("Units", true),
        ("Left then", true),
        ("Expires", false),
        ("Why", false),
    ];
    let rows = html! {
        @for row in rows { tr {
            td.nowrap { (instant(&row.at)) }
            td { (words(&row.kind)) }
            td.num { (number(row.units)) }
            td.num { (number(i64::try_from(row.balance).unwrap_or(i64::MAX))) }
            td.nowrap { (row.expires_at.as_deref().map_or_else(|| "never".to_owned(), instant)) }
            td { (row.reason.as_deref().unwrap_or("–")) }
        } }
    };
    table("Changes of credits, the latest first", &head, &rows)
}

fn charged(charges: &[Charge]) -> Markup {
    let head = [
        ("At", false),
        ("Request", false),
        ("Status", true),
        ("Cost", false),
        ("Drawn on", false),
        ("", false),
    ];
    let rows = html! {
        @for charge in charges { tr {
            td.nowrap { (instant(charge.at.split_once('.').map_or(&*charge.at, |(seconds, _)| seconds))) }
            td { (charge.method.as_deref().unwrap_or("")) " " code { (charge.route.as_deref().unwrap_or("–")) } }
            td.num { (charge.status) }
            td {
                @for (meter, units) in &charge.cost { div { (number(*units)) " " (meter) } }
                @if charge.kind != "charge" { span.small.quiet { (words(&charge.kind)) } }
                @if let Some(corrected) = &charge.corrected {
                    @for (meter, units) in &corrected.cost {
                        span.small.quiet { "corrected to " (number(*units)) " " (meter) }
                    }
                }
            }
            td { (drawn_on(&charge.drawn)) }
            td { a href=(with_query("/dashboard/charge", &[("id", &charge.request_id)])) {
                "Why" span.off { ": request " (charge.request_id) }
            } }
        } }
    };
    table("Latest charges", &head, &rows)
}

fn subscriptions(customer: &Customer) -> Markup {
    if customer.subscriptions.is_empty() {
        return html! {};
    }
    let head = [("Subscription", false), ("Status", false), ("Tier", false), ("Period ends", false)];
    let rows = html! {
        @for row in &customer.subscriptions { tr {
            th scope="row" { span.code { (row.id) } }
            td { (state(&row.status)) }
            td { (row.tier.as_deref().unwrap_or("–")) }
            td.nowrap {
                (row.period_end.as_deref().map_or_else(|| "–".to_owned(), instant))
                @if row.cancel_at_period_end { ", then cancelled" }
            }
        } }
    };
    html! { section.panel { h2 { "Subscriptions" } (table("Subscriptions at Stripe", &head, &rows)) } }
}

fn members(customer: &Customer) -> Markup {
    let Some(members) = &customer.members else { return html! {} };
    let units = |units: &std::collections::BTreeMap<String, i64>| -> String {
        let each: Vec<String> =
            units.iter().map(|(meter, units)| format!("{} {meter}", number(*units))).collect();
        each.join(", ")
    };
    let rows = html! {
        @for row in members { tr {
            th scope="row" { (row.member.as_deref().unwrap_or("all others")) }
            td.num { (units(&row.usage)) }
        } }
    };
    html! { section.panel {
        h2 { "Members" }
        @if members.is_empty() { p.empty { "None has used anything in this period." } }
        @else { (table("What members have used of this period", &[("Member", false), ("Used", true)], &rows)) }
    } }
}

/// What an override includes, as its field shows it.
fn included_of(set: Option<&Value>) -> String {
    set.map(|units| units.as_str().map_or_else(|| units.to_string(), str::to_owned)).unwrap_or_default()
}
