//! `expand[]`: puts whole objects where an answer holds their ids, a price's tiers, a session's lines.

use serde_json::Value;

use super::error::ApiError;
use super::params::Params;
use super::state::State;
use super::subscriptions;

const MAX_DEPTH: usize = 4;

/// Expands an answer along every path that a request names.
pub fn expand(state: &State, params: &Params, answer: &mut Value) -> Result<(), ApiError> {
    for path in params.texts("expand") {
        let steps: Vec<&str> = path.split('.').collect();
        let depth = steps.iter().filter(|step| **step != "data").count();
        if depth > MAX_DEPTH {
            let message = "You cannot expand more than 4 levels of a property.";
            return Err(ApiError::parameter("expand", "property_expansion_max_depth", message));
        }
        walk(state, answer, &steps, path)?;
    }
    Ok(())
}

fn walk(state: &State, at: &mut Value, steps: &[&str], path: &str) -> Result<(), ApiError> {
    if let Value::Array(elements) = at {
        return elements.iter_mut().try_for_each(|element| walk(state, element, steps, path));
    }
    let Some((step, rest)) = steps.split_first() else {
        return Ok(());
    };
    if *step == "tiers" && at["object"] == "price" {
        let price = at["id"].as_str().and_then(|id| state.prices.get(id));
        if let Some(price) = price {
            at["tiers"] = price.tiers_json();
        }
        return Ok(());
    }
    if *step == "line_items" && at["object"] == "checkout.session" {
        let session = at["id"].as_str().and_then(|id| state.sessions.get(id));
        if let Some(session) = session {
            at["line_items"] = super::checkout::lines_json(state, session);
        }
    }
    let Some(next) = at.get_mut(*step) else {
        let message = format!("This property cannot be expanded ({path}).");
        return Err(ApiError::parameter("expand", "property_not_expandable", message));
    };
    if let Some(object) = next.as_str().and_then(|id| object(state, id)) {
        *next = object;
    }
    if next.is_null() { Ok(()) } else { walk(state, next, rest, path) }
}

fn object(state: &State, id: &str) -> Option<Value> {
    let (prefix, _) = id.split_once('_')?;
    match prefix {
        "cus" => state.customers.get(id).map(super::customers::Customer::json),
        "price" => state.prices.get(id).map(super::prices::Price::json),
        "sub" => state.subscriptions.get(id).map(|row| subscriptions::json(state, row)),
        "pm" => state.payment_methods.get(id).map(super::payment_methods::PaymentMethod::json),
        "pi" => state.payment_intents.get(id).map(super::payment_intents::PaymentIntent::json),
        "cs" => state.sessions.get(id).map(|row| super::checkout::session_json(state, row)),
        "in" => state.invoices.get(id).map(|row| row.json(&state.base_url)),
        _ => state.products.get(id).map(super::products::Product::json),
    }
}
