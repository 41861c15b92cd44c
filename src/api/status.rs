//! `GET /billing/status`: the caller's subscription, tier, usage and limits.

use axum::Json;
use axum::extract::State;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::customers::{Entry, MeterUsage, Snapshot};
use crate::domain::catalogue::Catalogue;
use crate::domain::period::rfc3339;
use crate::domain::projection::Projected;
use crate::domain::subscription::{Outline, Status};
use crate::domain::tier::{Allowance, Limit, Tier};

use super::Public;
use super::caller::Caller;

pub(super) async fn status(State(public): State<Public>, caller: Caller) -> Json<Value> {
    public.customers.hear(&caller.entry, caller.now).await;
    Json(now(&public, &caller.entry))
}

/// What the customer is told of their state now.
pub(super) fn now(public: &Public, entry: &Entry) -> Value {
    let now = clock::now();
    let snapshot = public.customers.snapshot(entry, now);
    shown(&public.catalogue.now(), &entry.name, &snapshot)
}

/// A customer's state, as they and operators are told.
pub(super) fn shown(catalogue: &Catalogue, name: &str, snapshot: &Snapshot) -> Value {
    let subscription = snapshot.subscription.as_ref();
    let status = subscription.map(|subscription| subscription.status);
    let tier = snapshot.tier.as_deref();
    json!({
        "customer": name,
        "has_subscription": status.is_some_and(Status::is_live),
        "tier": tier.map(|tier| &*tier.name),
        "billed_tier": snapshot.billed_tier.as_deref().map(|tier| &*tier.name),
        "status": Outline::word(snapshot.subscription),
        "permissions": {
            "can_use": snapshot.can_use,
            "can_purchase": Outline::may_purchase(snapshot.subscription),
        },
        "usage": usage(catalogue, snapshot),
        "overage": overage(catalogue, snapshot),
        "credits": snapshot.credits,
        "features": tier.map(|tier| catalogue.feature_names(tier.features)).unwrap_or_default(),
        "limits": tier.map(|tier| limits(&tier.limits)).unwrap_or_default(),
        "period": { "start": rfc3339(snapshot.period.start), "end": rfc3339(snapshot.period.end) },
        "expires_at": subscription.and_then(Outline::expires_at).map(rfc3339),
        "cancel_at_period_end": subscription.is_some_and(|s| s.status.is_live() && s.cancel_at_period_end),
    })
}

fn usage(catalogue: &Catalogue, snapshot: &Snapshot) -> Map<String, Value> {
    let show = |(usage, projected): (&MeterUsage, &Projected)| {
        let amount = projected_amount(catalogue, snapshot.tier.as_deref(), usage, *projected);
        (catalogue.meter(usage.meter).name.to_string(), meter_usage(catalogue, usage, *projected, amount))
    };
    snapshot.usage.iter().zip(&snapshot.projected).map(show).collect()
}

/// Of all meters, each rounded as its line of the invoice is.
fn overage(catalogue: &Catalogue, snapshot: &Snapshot) -> Value {
    let tier = snapshot.tier.as_deref();
    let cap = tier.and_then(|tier| tier.overage.cap());
    let amount = sum(snapshot.usage.iter().map(|usage| catalogue.currency.round(usage.overage_amount)));
    let lines = snapshot.usage.iter().zip(&snapshot.projected);
    let lines = lines.map(|(usage, projected)| projected_amount(catalogue, tier, usage, *projected));
    let shown = |amount: Decimal| catalogue.currency.round(amount).to_string();
    json!({
        "currency": catalogue.currency.code(),
        "amount": shown(amount),
        "projected_amount": shown(sum(lines)),
        "cap": cap.map(shown),
    })
}

fn sum(amounts: impl Iterator<Item = Decimal>) -> Decimal {
    amounts.fold(Decimal::ZERO, Decimal::saturating_add)
}

/// What a meter's overage will cost, at the tier's price.
fn projected_amount(
    catalogue: &Catalogue,
    tier: Option<&Tier>,
    usage: &MeterUsage,
    projected: Projected,
) -> Decimal {
    let amount = tier.map_or(Decimal::ZERO, |tier| tier.price_of(usage.meter, projected.overage));
    catalogue.currency.round(amount)
}

fn meter_usage(
    catalogue: &Catalogue,
    usage: &MeterUsage,
    projected: Projected,
    projected_amount: Decimal,
) -> Value {
    let (included, remaining) = match usage.included {
        Allowance::Units(units) => (json!(units), json!(units.saturating_sub(usage.counted))),
        Allowance::Unlimited => (json!("unlimited"), json!("unlimited")),
    };
    json!({
        "current": usage.current,
        "included": included,
        "remaining": remaining,
        "usage_percentage": percentage(usage),
        "overage": usage.overage,
        "overage_amount": catalogue.currency.round(usage.overage_amount).to_string(),
        "projected": projected.units,
        "projected_overage": projected.overage,
        "projected_overage_amount": projected_amount.to_string(),
    })
}

/// To two decimals; 0 without a bound, and beyond 100 where overage is allowed.
fn percentage(usage: &MeterUsage) -> f64 {
    let Allowance::Units(included) = usage.included else { return 0.0 };
    let hundredths = u128::from(usage.counted) * 10_000 / u128::from(included.max(1));
    let shown = Decimal::from_i128_with_scale(i128::try_from(hundredths).unwrap_or(i128::MAX), 2);
    shown.to_string().parse().unwrap_or(0.0)
}

fn limits(limits: &[(String, Limit)]) -> Map<String, Value> {
    let show = |limit: &Limit| match limit {
        Limit::Number(number) => json!(number),
        Limit::Unlimited => json!("unlimited"),
    };
    limits.iter().map(|(name, limit)| (name.clone(), show(limit))).collect()
}
