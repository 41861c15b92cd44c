//! Billing portal sessions. The portal itself is not imitated: the address leads straight back.

use serde_json::{Value, json};

use super::customers;
use super::error::ApiError;
use super::state::{Call, State};

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let customer = call.params.required("customer")?;
    customers::referenced(state, customer, "customer")?;
    let return_url = call.params.filled("return_url");
    let id = state.ids.make("bps");
    let url = return_url.map_or_else(|| format!("{}/portal/{id}", state.base_url), str::to_owned);
    Ok(json!({
        "id": id,
        "object": "billing_portal.session",
        "configuration": "bpc_sandbox",
        "created": call.now,
        "customer": customer,
        "flow": null,
        "livemode": false,
        "locale": null,
        "on_behalf_of": null,
        "return_url": return_url,
        "url": url,
    }))
}
