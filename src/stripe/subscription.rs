//! A subscription as Stripe's API tells it, in any of the shapes its versions have.
//!
//! Until 2025-03-31 the period is on the subscription, since then on its items; a customer is an id or, expanded,
//! an object. Only an object without id or without customer is refused: everything else unknown, missing or of
//! another type is left out.

use serde_json::Value;

use super::loose::{boolean, elements, id, integer, lookup_key, text};

/// The parts of a subscription that Tollgate uses; instants are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionObject {
    pub id: String,
    pub customer: String,
    /// The customer's `metadata.tollgate_customer`; only when the customer came expanded.
    pub customer_metadata_tollgate: Option<String>,
    /// The subscription's own `metadata.tollgate_customer`.
    pub metadata_tollgate: Option<String>,
    /// Stripe's word, unknown ones included.
    pub status: String,
    pub items: Vec<SubscriptionItem>,
    pub cancel_at_period_end: bool,
    pub cancel_at: Option<i64>,
    pub canceled_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub trial_start: Option<i64>,
    pub trial_end: Option<i64>,
    /// The currency of all its prices, in lower case.
    pub currency: Option<String>,
    pub billing_cycle_anchor: Option<i64>,
    /// Of Stripe's older billing mode, which [`super::make_flexible`] ends.
    pub is_classic: bool,
    pub created: Option<i64>,
    pub livemode: Option<bool>,
}

/// One price of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionItem {
    pub id: String,
    pub price_id: String,
    /// Or, where that has gone over to a price that replaces it, the one it was made under.
    pub lookup_key: Option<String>,
    pub product: Option<String>,
    /// Billed by a meter, not by a quantity.
    pub metered: bool,
    /// `mtr_…`, where a meter bills it.
    pub meter: Option<String>,
    /// `month`, `year`, …
    pub interval: Option<String>,
    /// `recurring.interval_count`, with [`Self::interval`].
    pub interval_count: Option<i64>,
    pub current_period_start: Option<i64>,
    pub current_period_end: Option<i64>,
    /// In minor units of the currency; none for graduated prices, and for fractions of a minor unit.
    pub unit_amount: Option<i64>,
    /// None of a metered one.
    pub quantity: Option<i64>,
}

impl SubscriptionObject {
    /// Reads a subscription; none if it is none.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        Some(Self {
            id: text(object, "/id")?,
            customer: id(object, "/customer")?,
            customer_metadata_tollgate: text(object, "/customer/metadata/tollgate_customer"),
            metadata_tollgate: text(object, "/metadata/tollgate_customer"),
            status: text(object, "/status").unwrap_or_default(),
            items: elements(object, "/items/data")
                .iter()
                .map(|item| SubscriptionItem::read(item, object))
                .collect(),
            cancel_at_period_end: boolean(object, "/cancel_at_period_end").unwrap_or_default(),
            cancel_at: integer(object, "/cancel_at"),
            canceled_at: integer(object, "/canceled_at"),
            ended_at: integer(object, "/ended_at"),
            trial_start: integer(object, "/trial_start"),
            trial_end: integer(object, "/trial_end"),
            currency: text(object, "/currency"),
            billing_cycle_anchor: integer(object, "/billing_cycle_anchor"),
            is_classic: text(object, "/billing_mode/type").as_deref() == Some("classic"),
            created: integer(object, "/created"),
            livemode: boolean(object, "/livemode"),
        })
    }

    /// Its prices recur at different intervals.
    pub(super) fn is_mixed(&self) -> bool {
        let interval = |item: &SubscriptionItem| (item.interval.clone(), item.interval_count);
        self.items.windows(2).any(|pair| interval(&pair[0]) != interval(&pair[1]))
    }
}

impl SubscriptionItem {
    fn read(item: &Value, subscription: &Value) -> Self {
        let period = |pointer| integer(item, pointer).or_else(|| integer(subscription, pointer));
        // Old versions speak of plans besides prices; a legacy plan has no price.
        let usage_type = text(item, "/price/recurring/usage_type").or_else(|| text(item, "/plan/usage_type"));
        Self {
            id: text(item, "/id").unwrap_or_default(),
            price_id: id(item, "/price").or_else(|| id(item, "/plan")).unwrap_or_default(),
            lookup_key: item.get("price").and_then(lookup_key),
            product: id(item, "/price/product").or_else(|| id(item, "/plan/product")),
            metered: usage_type.as_deref() == Some("metered"),
            meter: text(item, "/price/recurring/meter").or_else(|| text(item, "/plan/meter")),
            interval: text(item, "/price/recurring/interval").or_else(|| text(item, "/plan/interval")),
            interval_count: integer(item, "/price/recurring/interval_count")
                .or_else(|| integer(item, "/plan/interval_count")),
            current_period_start: period("/current_period_start"),
            current_period_end: period("/current_period_end"),
            unit_amount: integer(item, "/price/unit_amount").or_else(|| integer(item, "/plan/amount")),
            quantity: integer(item, "/quantity"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn item() -> Value {
        json!({ "id": "si_1", "quantity": 1, "price": {
            "id": "price_1", "lookup_key": "tollgate_pro_monthly", "product": "prod_1",
            "recurring": { "interval": "month", "usage_type": "licensed" } } })
    }

    #[test]
    fn the_period_is_read_from_the_items_since_2025_03_31() {
        let mut item = item();
        item["current_period_start"] = json!(100);
        item["current_period_end"] = json!(200);
        let object = json!({ "id": "sub_1", "customer": "cus_1", "status": "active", "livemode": true,
            "metadata": { "tollgate_customer": "acme" }, "items": { "data": [item] } });
        let subscription = SubscriptionObject::read(&object).expect("a subscription");
        assert_eq!(subscription.customer, "cus_1");
        assert_eq!(subscription.metadata_tollgate.as_deref(), Some("acme"));
        assert_eq!(subscription.livemode, Some(true));
        let item = &subscription.items[0];
        assert_eq!((item.current_period_start, item.current_period_end), (Some(100), Some(200)));
        assert_eq!(item.lookup_key.as_deref(), Some("tollgate_pro_monthly"));
        assert_eq!(item.interval.as_deref(), Some("month"));
        assert!(!item.metered);
    }

    #[test]
    fn the_period_is_read_from_the_subscription_before_2025_03_31() {
        let object = json!({ "id": "sub_1", "customer": { "id": "cus_1",
            "metadata": { "tollgate_customer": "acme" } }, "status": "past_due",
            "current_period_start": 100, "current_period_end": 200, "items": { "data": [item()] } });
        let subscription = SubscriptionObject::read(&object).expect("a subscription");
        assert_eq!(subscription.customer, "cus_1");
        assert_eq!(subscription.customer_metadata_tollgate.as_deref(), Some("acme"));
        let item = &subscription.items[0];
        assert_eq!((item.current_period_start, item.current_period_end), (Some(100), Some(200)));
    }

    #[test]
    fn an_expanded_product_and_a_metered_price_are_recognised() {
        let mut item = item();
        item["price"]["product"] = json!({ "id": "prod_2", "name": "Pro" });
        item["price"]["recurring"]["usage_type"] = json!("metered");
        let object = json!({ "id": "sub_1", "customer": "cus_1", "items": { "data": [item] } });
        let item = &SubscriptionObject::read(&object).expect("a subscription").items[0];
        assert_eq!(item.product.as_deref(), Some("prod_2"));
        assert!(item.metered);
    }

    #[test]
    fn unknown_words_and_odd_types_lose_only_themselves() {
        let object = json!({ "id": "sub_1", "customer": "cus_1", "status": "hibernating",
            "cancel_at": "soon", "trial_end": null, "livemode": 1, "items": { "data": [{}, 7, null] } });
        let subscription = SubscriptionObject::read(&object).expect("a subscription");
        assert_eq!(subscription.status, "hibernating");
        assert_eq!((subscription.cancel_at, subscription.livemode), (None, None));
        assert_eq!(subscription.items.len(), 3);
    }

    proptest! {
        #[test]
        fn any_field_may_have_any_type(field in 0_usize..9, text: String) {
            let fields = ["customer", "status", "items", "metadata", "cancel_at", "created",
                "livemode", "cancel_at_period_end", "trial_end"];
            for odd in [json!(null), json!(text), json!(-1.5), json!([text]), json!({ "data": text })] {
                let mut object = json!({ "id": "sub_1", "customer": "cus_1", "items": { "data": [item()] } });
                object[fields[field]] = odd;
                if let Some(subscription) = SubscriptionObject::read(&object) {
                    prop_assert_eq!(subscription.id, "sub_1");
                } else {
                    prop_assert_eq!(fields[field], "customer");
                }
            }
        }
    }
}
