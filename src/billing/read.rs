//! From Stripe's subscription object to the facts that are kept.

use crate::domain::subscription::{Facts, ItemFacts, Status};
use crate::store::Amount;
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
        trial_start: object.trial_start,
        trial_end: object.trial_end,
        currency: object.currency.clone(),
        // Kept by the store as well.
        read_at: None,
    })
}

fn item_facts(item: &SubscriptionItem) -> ItemFacts {
    ItemFacts {
        id: item.id.clone(),
        price: item.price_id.clone(),
        lookup_key: item.lookup_key.clone(),
        metered: item.metered,
        interval: item.interval.clone().unwrap_or_else(|| "month".to_owned()),
        interval_count: item.interval_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        period_start: item.current_period_start.unwrap_or(0),
        period_end: item.current_period_end.unwrap_or(0),
        unit_amount: item.unit_amount,
        quantity: item.quantity,
    }
}

/// What is paid for each interval: all items that are not metered and have the first one's interval.
pub(super) fn amount(facts: &Facts) -> Option<Amount> {
    let licensed = || facts.items.iter().filter(|item| !item.metered);
    let first = licensed().next()?;
    let alike =
        |item: &&ItemFacts| (&item.interval, item.interval_count) == (&first.interval, first.interval_count);
    let of = |item: &ItemFacts| item.unit_amount?.checked_mul(item.quantity.unwrap_or(1));
    let minor = licensed().filter(alike).map(of).try_fold(0_i64, |sum, amount| sum.checked_add(amount?))?;
    Some(Amount { minor, interval: first.interval.clone(), interval_count: first.interval_count })
}

/// When a subscription should be read again if nothing is heard: soon after its next period's end, or its own; and
/// while Stripe shows one that has passed, as of a paused subscription, ever less often.
pub(super) fn reread_at(facts: &Facts, now: i64) -> Option<i64> {
    if !facts.status.is_live() {
        return None;
    }
    let ends = facts.items.iter().map(|item| item.period_end).chain(facts.cancel_at);
    let next = ends.filter(|end| *end > 0).min()?;
    let overdue = now.saturating_sub(next).max(0);
    Some(next.max(now).saturating_add((overdue / 4).clamp(REREAD_AFTER_SECONDS, DAY_SECONDS)))
}

/// Stripe turns a period within this time; a re-read is due within 60 s of each end.
const REREAD_AFTER_SECONDS: i64 = 20;
const DAY_SECONDS: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts_of(status: &str, period_end: i64) -> Facts {
        let item = SubscriptionItem { current_period_end: Some(period_end), ..SubscriptionItem::default() };
        let object = SubscriptionObject {
            status: status.to_owned(),
            items: vec![item],
            ..SubscriptionObject::default()
        };
        facts(&object).expect("a status")
    }

    #[test]
    fn a_period_is_looked_at_soon_after_its_end_and_a_passed_one_ever_less_often() {
        let at = |status, now| reread_at(&facts_of(status, 1_000), now);
        assert_eq!(at("active", 500), Some(1_020));
        assert_eq!(at("active", 1_001), Some(1_021));
        assert_eq!(at("paused", 1_000 + 4_000), Some(1_000 + 4_000 + 1_000));
        assert_eq!(at("paused", 1_000 + 10_000_000), Some(1_000 + 10_000_000 + DAY_SECONDS));
        assert_eq!(at("canceled", 500), None);
        let ends_within = Facts { cancel_at: Some(700), ..facts_of("active", 1_000) };
        assert_eq!(reread_at(&ends_within, 500), Some(720));
    }

    #[test]
    fn a_status_that_does_not_exist_yet_is_no_fact() {
        let object = SubscriptionObject { status: "hibernating".to_owned(), ..SubscriptionObject::default() };
        assert_eq!(facts(&object), None);
    }
}
