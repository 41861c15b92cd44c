//! Entitlements: the features a customer has. Only a hook gives them; products carry none here.

use serde_json::{Value, json};

use super::customers::{self, Customer};
use super::error::ApiError;
use super::events;
use super::state::{Call, State};
use super::table::{Page, list};

/// `POST /_sandbox/customers/:id/entitlements`: `{"features": ["a", "b"]}` from now on.
pub fn set(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let features = call.params.texts("features").into_iter().map(str::to_owned).collect();
    let customer = state.customers.find_mut(call.id)?;
    customer.features = features;
    let summary = json!({
        "object": "entitlements.active_entitlement_summary",
        "customer": customer.id,
        "entitlements": list(
            &format!("/v1/entitlements/active_entitlements?customer={}", customer.id),
            all(customer),
            false,
        ),
        "livemode": false,
    });
    events::emit(state, call.now, "entitlements.active_entitlement_summary.updated", summary.clone());
    Ok(summary)
}

fn all(customer: &Customer) -> Vec<Value> {
    let number = customer.id.trim_start_matches("cus_");
    let entitlement = |feature: &String| {
        json!({
            "id": format!("ent_{number}_{feature}"),
            "object": "entitlements.active_entitlement",
            "feature": format!("feat_{feature}"),
            "livemode": false,
            "lookup_key": feature,
        })
    };
    customer.features.iter().map(entitlement).collect()
}

/// `GET /v1/entitlements/active_entitlements`; all on one page.
pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let customer = call.params.required("customer")?;
    Page::read(call.params)?;
    let customer = customers::referenced(state, customer, "customer")?;
    Ok(list("/v1/entitlements/active_entitlements", all(customer), false))
}
