//! `GET /admin/stats`: revenue, customers, churn. docs/operation.md says what each number is.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::domain::catalogue::Catalogue;
use crate::domain::money::Currency;
use crate::domain::period::rfc3339;
use crate::domain::revenue::{monthly_churn, per_month};
use crate::store::{Paid, Question, Stats, Takings, TopCustomer};
use crate::stripe::api_version;

use super::AdminState;
use crate::api::Failed;
use crate::api::fleet::{Question as Asking, Told, with_missing};
use crate::api::instant::Span;
use crate::api::json::Asked;

/// The span that is looked at unless another is asked for.
const USUAL_SECONDS: i64 = 30 * 86_400;
const TOP_CUSTOMERS: usize = 10;
/// So many of each node are added up; who used little on each of many nodes may be missed.
const TOP_OF_EACH: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn stats(
    State(state): State<AdminState>,
    Asked(when): Asked<When>,
) -> Result<Json<Value>, Failed> {
    // The second that runs is in it.
    let to = clock::now().seconds() + 1;
    let usual = Span { from: to - USUAL_SECONDS, to };
    let span = Span::parse(when.from.as_deref(), when.to.as_deref(), usual)?;
    let (own, told) = tokio::join!(
        state.store.stats(question(&state.catalogue.now(), span, TOP_OF_EACH)),
        state.others.ask::<Part>(Asking::Stats { span: (span.from, span.to), top: TOP_OF_EACH }),
    );
    let missing = told.as_ref().map(|told| told.missing.clone());
    let found = merge(own?, told.into_iter().flat_map(Told::into_answers));
    Ok(Json(with_missing(shown(&found, span, state.catalogue.now().currency), missing.as_deref())))
}

/// What each node has for itself: payments are booked by whoever was told of them, units by whoever counted them. All
/// else every node knows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    takings: Takings,
    top: Vec<TopCustomer>,
}

/// This node's.
pub(super) async fn part(state: &AdminState, (from, to): (i64, i64), top: u32) -> Result<Part, Failed> {
    let found = state.store.stats(question(&state.catalogue.now(), Span { from, to }, top)).await?;
    Ok(Part { takings: found.takings, top: found.top })
}

fn merge(own: Stats, others: impl Iterator<Item = Part>) -> Stats {
    let (mut takings, mut units) = (own.takings, HashMap::<String, (i64, i64)>::new());
    let mut count = |top: Vec<TopCustomer>| {
        for TopCustomer { customer, units: used, requests } in top {
            let sum = units.entry(customer).or_default();
            *sum = (sum.0.saturating_add(used), sum.1.saturating_add(requests));
        }
    };
    count(own.top);
    for Part { takings: more, top } in others {
        takings.add(more);
        count(top);
    }
    let row = |(customer, (units, requests))| TopCustomer { customer, units, requests };
    let mut top: Vec<_> = units.into_iter().map(row).collect();
    top.sort_by(|one, other| (other.units, &one.customer).cmp(&(one.units, &other.customer)));
    top.truncate(TOP_CUSTOMERS);
    Stats { takings, top, ..own }
}

fn question(catalogue: &Catalogue, span: Span, top: u32) -> Question {
    let default_tier = catalogue.default_tier.map(|id| catalogue.tier(id).name.to_string());
    let paid = catalogue.tiers.iter().filter(|tier| Some(tier.id) != catalogue.default_tier);
    let paid: Vec<&str> = paid.map(|tier| &*tier.name).collect();
    Question {
        from: span.from,
        to: span.to,
        currency: catalogue.currency.code().to_owned(),
        default_tier,
        paid_tiers: json!(paid).to_string(),
        top,
    }
}

fn shown(stats: &Stats, span: Span, currency: Currency) -> Value {
    let monthly = |paid: &Paid| per_month(paid.minor, &paid.interval, paid.interval_count, currency);
    let mrr: Decimal = stats.paid.iter().filter_map(monthly).fold(Decimal::ZERO, Decimal::saturating_add);
    let churn = monthly_churn(stats.lost, stats.paying_at_start, span.to - span.from);
    let per_customer = mrr.checked_div(Decimal::from(stats.paying_at_end));
    let lifetime = churn.zip(per_customer).and_then(|(churn, revenue)| revenue.checked_div(churn));
    let money = |amount: Decimal| currency.round(amount).to_string();
    json!({
        "from": rfc3339(span.from),
        "to": rfc3339(span.to),
        "currency": currency.code(),
        "stripe_api_version": api_version(),
        "mrr": money(mrr),
        "arr": money(mrr.saturating_mul(Decimal::from(12))),
        "subscriptions": stats.paid.iter().map(|paid| json!({
            "tier": paid.tier,
            "interval": paid.interval,
            "interval_count": paid.interval_count,
            "subscriptions": paid.subscriptions,
            "mrr": monthly(paid).map(money),
        })).collect::<Vec<_>>(),
        "uncounted_subscriptions": stats.uncounted_subscriptions,
        "customers": stats.customers.iter().map(|count| json!({
            "tier": count.tier, "status": count.status, "customers": count.customers,
        })).collect::<Vec<_>>(),
        "erased_customers": stats.erased,
        "churn": {
            "paying_at_start": stats.paying_at_start,
            "lost": stats.lost,
            "paying_at_end": stats.paying_at_end,
            "rate": rate(stats.lost, stats.paying_at_start),
        },
        "lifetime_value": lifetime.map(money),
        "overage_revenue": money(major(stats.takings.overage_minor, currency)),
        "payments": payments(stats.takings, currency),
        "conversions": stats.conversions.iter().map(|conversion| json!({
            "from": conversion.from, "to": conversion.to, "times": conversion.times,
        })).collect::<Vec<_>>(),
        "top_customers": stats.top.iter().map(|top| json!({
            "customer": top.customer, "units": top.units, "requests": top.requests,
        })).collect::<Vec<_>>(),
    })
}

fn payments(takings: Takings, currency: Currency) -> Value {
    let money = |minor| currency.round(major(minor, currency)).to_string();
    json!({
        "succeeded": { "payments": takings.succeeded, "amount": money(takings.succeeded_minor) },
        "failed": { "payments": takings.failed, "amount": money(takings.failed_minor) },
        "success_rate": rate(takings.succeeded, takings.succeeded + takings.failed),
        "uncounted": takings.uncounted,
    })
}

fn major(minor: i64, currency: Currency) -> Decimal {
    Decimal::try_new(minor, currency.decimals()).unwrap_or_default()
}

/// To four decimals; null of nothing.
fn rate(part: u64, of: u64) -> Option<String> {
    let rate = Decimal::from(part).checked_div(Decimal::from(of))?;
    Some(rate.round_dp(4).normalize().to_string())
}
