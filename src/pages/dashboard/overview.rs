//! `/dashboard`: how it goes, on this node since it began, and with the customers of all.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::Dashboard;
use super::answers::{Health, Stats};
use super::api::{Api, with_query};
use super::door::Operator;
use super::figures::Figures;
use super::frame::{self, state, table};
use crate::clock;
use crate::domain::period::rfc3339;
use crate::pages::parts::words::{money, number, words};
use crate::problem::Problem;

const SECONDS_PER_DAY: i64 = 86_400;

pub async fn page(State(dashboard): State<Dashboard>, operator: Operator) -> Response {
    frame::page_or_problem(&operator, "Overview", "Overview", content(&dashboard.api).await)
}

async fn content(api: &Api) -> Result<Markup, Problem> {
    let revenue = Revenue::read(api).await?;
    let parts = Parts::read(api, &revenue).await?;
    Ok(html! {
        div.head {
            div { h1 { "Overview" } p.lead { "Counts are this node's, since its process began. Times are UTC." } }
            span.state data-live-state { "As of the last load" }
        }
        div data-live="/dashboard/live" {
            @for (name, part) in parts.each() { div data-part=(name) { (part) } }
        }
        (of_customers(&revenue.usual))
    })
}

/// What changes while somebody watches, by the names of the events that renew it.
pub struct Parts {
    tiles: Markup,
    tables: Markup,
}

impl Parts {
    pub fn each(&self) -> [(&'static str, &Markup); 2] {
        [("tiles", &self.tiles), ("tables", &self.tables)]
    }

    pub async fn read(api: &Api, revenue: &Revenue) -> Result<Self, Problem> {
        let figures = Figures::parse(&api.text("/metrics").await?);
        let health: Health = api.get("/health/billing").await?;
        Ok(Self { tiles: tiles(&figures, &health, revenue), tables: tables(&figures) })
    }
}

/// What the store must be asked for: it changes slowly, and costs more than a look at counters.
pub struct Revenue {
    usual: Stats,
    overage_today: String,
}

impl Revenue {
    pub async fn read(api: &Api) -> Result<Self, Problem> {
        let now = clock::now().seconds();
        let today = rfc3339(now - now.rem_euclid(SECONDS_PER_DAY));
        let today: Stats = api.get(&with_query("/admin/stats", &[("from", &today)])).await?;
        let usual = api.get("/admin/stats").await?;
        Ok(Self { usual, overage_today: today.overage_revenue })
    }
}

fn tiles(figures: &Figures, health: &Health, revenue: &Revenue) -> Markup {
    let (requests, refusals) = (figures.sum("requests_total"), figures.sum("refusals_total"));
    let classes = figures.by("requests_total", "status_class");
    let stats = &revenue.usual;
    let stripe = if health.stripe_reachable { ("ok", "reachable") } else { ("down", "circuit open") };
    let redis = match (&stats.nodes_missing, figures.sum("fleet_redis_up")) {
        (None, _) => ("", "not used", "this node is alone"),
        (Some(_), 1..) => ("ok", "connected", "shared by the fleet"),
        (Some(_), _) => ("down", "not reachable", "the fleet is apart"),
    };
    let outbox = match (health.outbox_dead, health.outbox_pending) {
        (1.., _) => ("dead", format!("{} dead", number(health.outbox_dead))),
        (_, 1..) => ("waiting", format!("the oldest for {}", lasting(health.outbox_oldest_seconds))),
        _ => ("ok", "nothing waits".to_owned()),
    };
    let webhooks = match (health.webhooks_failed, health.webhooks_pending) {
        (1.., _) => ("failed", format!("{} failed", number(health.webhooks_failed))),
        (_, pending) => (if pending > 0 { "waiting" } else { "ok" }, format!("{} waiting", number(pending))),
    };
    let lag = lasting(figures.sum("webhook_lag_seconds"));
    let ledger =
        if health.ledger_available { ("ok", "ledger writes") } else { ("down", "ledger refuses: 503") };
    html! {
        dl.tiles {
            (tile("Requests", &number(requests), &html! { (classes_of(&classes)) }))
            (tile("Refused", &number(refusals), &html! { (share(refusals, requests)) }))
            (tile("Overage paid today", &money(&revenue.overage_today, &stats.currency), &html! { "since 00:00 UTC" }))
            (tile("MRR", &money(&stats.mrr, &stats.currency), &html! { "monthly recurring revenue" }))
        }
        dl.tiles {
            (tile("Outbox", &number(health.outbox_pending), &html! { (state(outbox.0)) " " (outbox.1) }))
            (tile("Webhook lag", &lag, &html! { (state(webhooks.0)) " " (webhooks.1) }))
            (tile("Stripe", stripe.1, &html! { (state(stripe.0)) " API " (health.stripe_api_version) }))
            (tile("Redis", redis.1, &html! {
                @if !redis.0.is_empty() { (state(redis.0)) " " } (redis.2)
            }))
            (tile("Billing", &health.status, &html! { (state(ledger.0)) " " (ledger.1) }))
        }
    }
}

fn tile(name: &str, figure: &str, more: &Markup) -> Markup {
    html! { div.tile { dt { (name) } dd { (figure) } dd { (more) } } }
}

fn classes_of(classes: &[(&str, i64)]) -> String {
    let shown: Vec<String> =
        classes.iter().map(|(class, count)| format!("{class}: {}", number(*count))).collect();
    if shown.is_empty() { "none yet".to_owned() } else { shown.join(" · ") }
}

/// In tenths of a percent.
fn share(part: i64, of: i64) -> String {
    if of <= 0 {
        return "none yet".to_owned();
    }
    let tenths = i128::from(part) * 1_000 / i128::from(of);
    format!("{}.{} % of requests", tenths / 10, tenths % 10)
}

/// `3 s`, `12 min`, `5 h`.
fn lasting(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

fn tables(figures: &Figures) -> Markup {
    let refusals = figures.by("refusals_total", "code");
    let units = figures.by_two("units_total", ("meter", "drawn"));
    let routes = figures.by_two("requests_total", ("route", "status_class"));
    let classes = ["2xx", "3xx", "4xx", "5xx"];
    html! {
        div.grid {
            section.panel {
                h2 { "Units by meter" }
                @if units.is_empty() { p.empty { "No unit has been charged yet." } } @else {
                    (table("Units by meter and what they were drawn on",
                        &[("Meter", false), ("Included", true), ("Credits", true), ("Overage", true)],
                        &html! { @for (meter, drawn) in &units { tr {
                            th scope="row" { (meter) }
                            @for on in ["included", "credits", "overage"] {
                                td.num { (number(drawn.get(on).copied().unwrap_or(0))) }
                            }
                        } } }))
                }
            }
            section.panel {
                h2 { "Refusals by reason" }
                @if refusals.is_empty() { p.empty { "Nobody has been refused." } } @else {
                    (table("Refusals by reason", &[("Reason", false), ("Refused", true)],
                        &html! { @for (code, count) in &refusals { tr {
                            th scope="row" { (words(code)) } td.num { (number(*count)) }
                        } } }))
                }
            }
            section.panel {
                h2 { "Requests by route" }
                @if routes.is_empty() { p.empty { "No request has come yet." } } @else {
                    (table("Requests by route and status",
                        &[("Route", false), ("2xx", true), ("3xx", true), ("4xx", true), ("5xx", true)],
                        &html! { @for (route, counts) in &routes { tr {
                            th scope="row" { code { (route) } }
                            @for class in classes { td.num { (number(counts.get(class).copied().unwrap_or(0))) } }
                        } } }))
                }
            }
        }
    }
}

fn of_customers(stats: &Stats) -> Markup {
    html! {
        div.grid {
            section.panel {
                h2 { "Who uses most, in 30 days" }
                @if stats.top_customers.is_empty() { p.empty { "Nobody has used anything yet." } } @else {
                    (table("Customers who use most", &[("Customer", false), ("Units", true), ("Requests", true)],
                        &html! { @for top in &stats.top_customers { tr {
                            th scope="row" {
                                (frame::to_customer(&top.customer))
                            }
                            td.num { (number(top.units)) }
                            td.num { (number(top.requests)) }
                        } } }))
                }
            }
            section.panel {
                h2 { "Customers by tier and status" }
                @if stats.customers.is_empty() { p.empty { "There are no customers yet." } } @else {
                    (table("Customers by tier and status",
                        &[("Tier", false), ("Status", false), ("Customers", true)],
                        &html! { @for count in &stats.customers { tr {
                            th scope="row" { (count.tier.as_deref().unwrap_or("none")) }
                            td { (state(&count.status)) }
                            td.num { (number(count.customers)) }
                        } } }))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_spans_are_read_at_a_glance() {
        assert_eq!(
            (share(0, 0), share(1, 3), share(5, 5)),
            ("none yet".into(), "33.3 % of requests".into(), "100.0 % of requests".into())
        );
        assert_eq!([0, 119, 120, 7_200].map(lasting), ["0 s", "119 s", "2 min", "2 h"]);
    }
}
