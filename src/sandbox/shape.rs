//! Objects as endpoints with an API version before 2025-03-31.basil see them.
//!
//! There, periods stood on the subscription instead of its items, an invoice named its subscription at
//! the top, and its lines carried the price itself (docs.stripe.com/changelog/basil).

use serde_json::{Value, json};

/// Rewrites an object of today's shape; objects that did not change come back as they are.
pub fn before_basil(mut object: Value) -> Value {
    match object["object"].as_str() {
        Some("subscription") => subscription(&mut object),
        Some("invoice") => invoice(&mut object),
        _ => {}
    }
    object
}

fn subscription(object: &mut Value) {
    let mut period = None;
    for item in object["items"]["data"].as_array_mut().into_iter().flatten() {
        let Some(fields) = item.as_object_mut() else { continue };
        let bounds = (fields.remove("current_period_start"), fields.remove("current_period_end"));
        period.get_or_insert(bounds);
    }
    if let Some((start, end)) = period {
        object["current_period_start"] = json!(start);
        object["current_period_end"] = json!(end);
    }
}

fn invoice(object: &mut Value) {
    let parent = object.as_object_mut().and_then(|fields| fields.remove("parent"));
    let details = parent.map_or(Value::Null, |mut parent| parent["subscription_details"].take());
    object["subscription"] = details["subscription"].clone();
    object["subscription_details"] = json!({"metadata": details["metadata"]});
    object["paid"] = json!(object["status"] == "paid");
    object["charge"] = Value::Null;
    object["payment_intent"] = Value::Null;
    object["tax"] = Value::Null;
    for line in object["lines"]["data"].as_array_mut().into_iter().flatten() {
        invoice_line(line);
    }
}

fn invoice_line(line: &mut Value) {
    let Some(fields) = line.as_object_mut() else { return };
    let parent = fields.remove("parent").unwrap_or_default();
    let pricing = fields.remove("pricing").unwrap_or_default();
    let details = &parent["subscription_item_details"];
    line["subscription"] = details["subscription"].clone();
    line["subscription_item"] = details["subscription_item"].clone();
    line["proration"] = json!(false);
    line["type"] = json!("subscription");
    line["price"] = json!({
        "id": pricing["price_details"]["price"],
        "object": "price",
        "product": pricing["price_details"]["product"],
        "unit_amount_decimal": pricing["unit_amount_decimal"],
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriptions_period_moves_from_its_items_to_the_top() {
        let item = json!({"id": "si_1", "current_period_start": 1, "current_period_end": 2});
        let old = before_basil(json!({"object": "subscription", "items": {"data": [item]}}));
        assert_eq!(
            old,
            json!({
                "object": "subscription",
                "current_period_start": 1,
                "current_period_end": 2,
                "items": {"data": [{"id": "si_1"}]},
            })
        );
    }

    #[test]
    fn an_invoice_names_its_subscription_at_the_top() {
        let old = before_basil(json!({
            "object": "invoice",
            "status": "paid",
            "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"k": "v"}}},
            "lines": {"data": [{
                "parent": {"subscription_item_details": {"subscription_item": "si_1"}},
                "pricing": {"price_details": {"price": "price_1", "product": "prod_1"}},
            }]},
        }));
        assert_eq!(old["subscription"], "sub_1");
        assert_eq!(old["paid"], true);
        assert!(old.get("parent").is_none());
        assert_eq!(old["lines"]["data"][0]["price"]["id"], "price_1");
        assert_eq!(old["lines"]["data"][0]["subscription_item"], "si_1");
    }
}
