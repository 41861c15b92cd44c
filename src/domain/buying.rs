//! Buying: what a tier is sold for at Stripe, and what a change of tier does to a subscription's items.

use serde::{Deserialize, Serialize};

/// How often the flat price of a tier is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cycle {
    Monthly,
    Yearly,
}

impl Cycle {
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Monthly, Self::Yearly].into_iter().find(|cycle| cycle.as_str() == word)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// A price whose usage a meter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeteredPrice {
    pub price: String,
    /// Stripe's id of the meter.
    pub meter: String,
}

/// What stands for a tier at Stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierPrices {
    pub monthly: Option<String>,
    pub yearly: Option<String>,
    /// One for each meter; they recur monthly.
    pub metered: Vec<MeteredPrice>,
}

impl TierPrices {
    pub fn flat(&self, cycle: Cycle) -> Option<&str> {
        match cycle {
            Cycle::Monthly => self.monthly.as_deref(),
            Cycle::Yearly => self.yearly.as_deref(),
        }
    }

    /// Whether flat and metered prices recur at different intervals.
    pub fn are_mixed(&self, cycle: Cycle) -> bool {
        cycle == Cycle::Yearly && !self.metered.is_empty()
    }
}

/// An item of a subscription that stands for a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldItem {
    pub id: String,
    pub price: String,
    /// Of a metered one, Stripe's id of its meter.
    pub meter: Option<String>,
}

/// What becomes of an item. Items are replaced, not added beside the old: so nobody pays for two tiers, and a meter's
/// usage of the period stays on the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemChange {
    Replace { item: String, price: String },
    Add { price: String },
    Remove { item: String },
}

/// From the items of one tier to those of another; empty where nothing changes.
pub fn item_changes(held: &[HeldItem], flat: &str, metered: &[MeteredPrice]) -> Vec<ItemChange> {
    let mut wanted: Vec<(Option<&str>, &str)> = vec![(None, flat)];
    wanted.extend(metered.iter().map(|one| (Some(one.meter.as_str()), one.price.as_str())));
    let mut changes = Vec::new();
    for item in held {
        let at = wanted.iter().position(|(meter, _)| *meter == item.meter.as_deref());
        match at.map(|at| wanted.swap_remove(at)) {
            Some((_, price)) if price == item.price => {}
            Some((_, price)) => {
                changes.push(ItemChange::Replace { item: item.id.clone(), price: price.to_owned() });
            }
            None => changes.push(ItemChange::Remove { item: item.id.clone() }),
        }
    }
    changes.extend(wanted.into_iter().map(|(_, price)| ItemChange::Add { price: price.to_owned() }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: &str, price: &str, meter: Option<&str>) -> HeldItem {
        HeldItem { id: id.to_owned(), price: price.to_owned(), meter: meter.map(str::to_owned) }
    }

    fn metered(price: &str, meter: &str) -> MeteredPrice {
        MeteredPrice { price: price.to_owned(), meter: meter.to_owned() }
    }

    fn replaced(item: &str, price: &str) -> ItemChange {
        ItemChange::Replace { item: item.to_owned(), price: price.to_owned() }
    }

    #[test]
    fn each_item_is_replaced_by_the_one_of_its_kind_and_none_is_added() {
        let items = [
            held("si_calls", "starter_calls", Some("mtr_calls")),
            held("si_flat", "starter", None),
            held("si_bytes", "starter_bytes", Some("mtr_bytes")),
        ];
        let pro = [metered("pro_bytes", "mtr_bytes"), metered("pro_calls", "mtr_calls")];
        assert_eq!(
            item_changes(&items, "pro", &pro),
            [
                replaced("si_calls", "pro_calls"),
                replaced("si_flat", "pro"),
                replaced("si_bytes", "pro_bytes")
            ]
        );
    }

    #[test]
    fn what_has_no_counterpart_is_added_or_removed() {
        let items = [held("si_old", "old_calls", Some("mtr_old"))];
        let removed = ItemChange::Remove { item: "si_old".to_owned() };
        let added = |price: &str| ItemChange::Add { price: price.to_owned() };
        assert_eq!(
            item_changes(&items, "pro", &[metered("pro_new", "mtr_new")]),
            [removed.clone(), added("pro"), added("pro_new")]
        );
        let doubled = [held("si_1", "pro", None), held("si_2", "pro", None)];
        assert_eq!(item_changes(&doubled, "pro", &[]), [ItemChange::Remove { item: "si_2".to_owned() }]);
    }

    #[test]
    fn the_same_tier_again_changes_nothing() {
        let items = [held("si_flat", "pro", None), held("si_calls", "pro_calls", Some("mtr_calls"))];
        assert_eq!(item_changes(&items, "pro", &[metered("pro_calls", "mtr_calls")]), []);
    }
}
