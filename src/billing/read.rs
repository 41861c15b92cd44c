//! From Stripe's subscription object to the facts that are kept.

use crate::domain::subscription::{Facts, ItemFacts, Status};
use crate::stripe::{SubscriptionItem, SubscriptionObject};

/// None when Stripe uses a status that does not exist yet: the state stays as it was.
pub(super) fn facts(object: &SubscriptionObject) -> Option<Facts> {
    let status = Status::parse(&object.status)?;
    Some(Facts {
        id: object.id.clone(),
        stripe_customer: object.customer.clone(),
        status,
        items: object.items.iter().map(item_facts).collect(),
        billing_cycle_anchor: object.billing_cycle_anchor.unwrap_or(0),
        cancel_at: object.cancel_at,
        cancel_at_period_end: object.cancel_at_period_end,
        // Kept by the store, over all reads.
        past_due_since: None,
    })
}

fn item_facts(item: &SubscriptionItem) -> ItemFacts {
    ItemFacts {
        price: item.price_id.clone(),
        lookup_key: item.lookup_key.clone(),
        metered: item.metered,
        interval: item.interval.clone().unwrap_or_else(|| "month".to_owned()),
        interval_count: item.interval_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        period_start: item.current_period_start.unwrap_or(0),
        period_end: item.current_period_end.unwrap_or(0),
    }
}

/// When a subscription should be read again if nothing is heard: soon after its next period's end.
pub(super) fn reread_at(facts: &Facts, now: i64) -> Option<i64> {
    if !facts.status.is_live() {
        return None;
    }
    let ends = facts.items.iter().map(|item| item.period_end).filter(|end| *end > 0);
    let next = ends.min()?;
    // A period that has ended already is looked at again while Stripe still shows it.
    Some(next.max(now) + REREAD_AFTER_SECONDS)
}

/// Stripe turns a period within this time; a re-read is due within 60 s of each end.
const REREAD_AFTER_SECONDS: i64 = 20;
