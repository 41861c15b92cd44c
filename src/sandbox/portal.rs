//! Billing portal sessions. The portal itself is not imitated: the address leads straight back.

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::{Call, State};
use super::{customers, known};

const FLOWS: [&str; 4] =
    ["payment_method_update", "subscription_cancel", "subscription_update", "subscription_update_confirm"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    params.only(known::PORTAL)?;
    let customer = params.required("customer")?;
    customers::referenced(state, customer, "customer")?;
    if !state.portal_configured && params.filled("configuration").is_none() {
        return Err(ApiError::refused(
            "No configuration provided and your test mode default configuration has not been created. \
             Provide a configuration or create your default by saving your customer portal settings in test \
             mode at https://dashboard.stripe.com/test/settings/billing/portal.",
        ));
    }
    let flow = params.group("flow_data").map(|data| flow(state, data, customer)).transpose()?;
    let return_url = params.filled("return_url");
    let id = state.ids.make("bps");
    let url = return_url.map_or_else(|| format!("{}/portal/{id}", state.base_url), str::to_owned);
    Ok(json!({
        "id": id,
        "object": "billing_portal.session",
        "configuration": params.filled("configuration").unwrap_or("bpc_sandbox"),
        "created": call.now,
        "customer": customer,
        "flow": flow,
        "livemode": false,
        "locale": params.filled("locale"),
        "on_behalf_of": null,
        "return_url": return_url,
        "url": url,
    }))
}

/// What the customer came for; a subscription named in it must be the customer's own.
fn flow(state: &State, data: &Params, customer: &str) -> Result<Value, ApiError> {
    let kind = data.required("type").map_err(|error| error.about("flow_data[type]"))?;
    if !FLOWS.contains(&kind) {
        let message = format!("Invalid flow_data[type]: must be one of {}; got {kind}", FLOWS.join(", "));
        return Err(ApiError::parameter("flow_data[type]", "parameter_invalid", message));
    }
    let mut flow = json!({
        "after_completion": {"hosted_confirmation": null, "redirect": null, "type": "portal_homepage"},
        "subscription_cancel": null,
        "subscription_update": null,
        "subscription_update_confirm": null,
        "type": kind,
    });
    if kind != "payment_method_update" {
        let param = format!("flow_data[{kind}][subscription]");
        let named = data.group(kind).and_then(|details| details.filled("subscription"));
        let named = named.ok_or_else(|| ApiError::parameter_missing(&param))?;
        let subscription = state.subscriptions.referenced(named, &param)?;
        if subscription.customer != customer {
            return Err(ApiError::no_such_reference("subscription", named, &param));
        }
        flow[kind] = json!({"subscription": named});
    }
    Ok(flow)
}
