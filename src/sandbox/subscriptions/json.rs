//! A subscription as Stripe writes it since 2025-03-31.basil: periods on the items.

use serde_json::{Value, json};

use super::{Item, Subscription};
use crate::sandbox::prices::Price;
use crate::sandbox::state::State;
use crate::sandbox::table::list;

pub fn json(state: &State, subscription: &Subscription) -> Value {
    let items = subscription.items.iter().map(|item| item_json(state, subscription, item));
    let items_url = format!("/v1/subscription_items?subscription={}", subscription.id);
    let pause = subscription.pause_collection.as_ref();
    let mut json = json!({
        "id": subscription.id,
        "object": "subscription",
        "billing_cycle_anchor": subscription.anchor,
        "billing_mode": {"type": if subscription.is_classic { "classic" } else { "flexible" }, "flexible": null},
        "cancel_at": subscription.cancels_at(),
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "canceled_at": subscription.canceled_at,
        "created": subscription.created,
        "currency": subscription.currency,
        "customer": subscription.customer,
        "default_payment_method": subscription.default_payment_method,
        "ended_at": subscription.ended_at,
        "items": list(&items_url, items.collect(), false),
        "latest_invoice": subscription.latest_invoice,
        "metadata": subscription.metadata,
        "pause_collection": pause.map(|p| json!({"behavior": p.behavior, "resumes_at": p.resumes_at})),
        "start_date": subscription.start_date,
        "status": subscription.status.name(),
        "trial_end": subscription.trial.map(|trial| trial.end),
        "trial_start": subscription.trial.map(|trial| trial.start),
    });
    if let (Value::Object(fields), Value::Object(constant)) = (&mut json, constant_fields()) {
        fields.extend(constant);
    }
    json
}

/// What Stripe's clients expect and the sandbox never varies.
fn constant_fields() -> Value {
    json!({
        "application": null,
        "application_fee_percent": null,
        "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null},
        "billing_cycle_anchor_config": null,
        "billing_schedules": [],
        "billing_thresholds": null,
        "cancellation_details": {"comment": null, "feedback": null, "reason": null},
        "collection_method": "charge_automatically",
        "days_until_due": null,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "invoice_settings": {"account_tax_ids": null, "issuer": {"type": "self"}},
        "livemode": false,
        "next_pending_invoice_item_invoice": null,
        "on_behalf_of": null,
        "payment_settings": null,
        "pending_invoice_item_interval": null,
        "pending_setup_intent": null,
        "pending_update": null,
        "schedule": null,
        "test_clock": null,
        "transfer_data": null,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    })
}

fn item_json(state: &State, subscription: &Subscription, item: &Item) -> Value {
    let price = state.prices.get(&item.price);
    let mut json = json!({
        "id": item.id,
        "object": "subscription_item",
        "billing_thresholds": null,
        "created": item.created,
        "current_period_end": item.period.end,
        "current_period_start": item.period.start,
        "discounts": [],
        "metadata": item.metadata,
        "plan": price.map(Price::plan_json),
        "price": price.map(Price::json),
        "subscription": subscription.id,
        "tax_rates": [],
    });
    if let Some(quantity) = item.quantity {
        json["quantity"] = json!(quantity);
    }
    json
}
