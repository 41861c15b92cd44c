//! Changing a subscription: another tier, its end, its going on.

use crate::clock;
use crate::domain::buying::{Cycle, HeldItem, ItemChange, item_changes};
use crate::domain::subscription::{Status, Subscription};
use crate::domain::tier::Tier;
use crate::store::Act;
use crate::stripe::{
    ItemOrder, SubscriptionItem, SubscriptionObject, cancel_subscription, make_flexible, resume_subscription,
    update_subscription,
};

use super::operation::Operation;
use super::{Buyer, Done, Shop, ShopError, conflict, not_sold};
use crate::billing::apply::ApplyError;
use crate::billing::read::facts;

/// The subscription of the caller that can still be changed, as Stripe has it now.
struct Live {
    object: SubscriptionObject,
    read: Subscription,
}

impl Shop {
    pub(super) async fn change(
        &self,
        buyer: &Buyer,
        tier: &Tier,
        cycle: Option<Cycle>,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        let live = self.live(buyer).await?.ok_or_else(nothing_live)?;
        if !live.read.status.entitles() {
            let status = live.read.status.as_str();
            return Err(conflict(format!(
                "the subscription is {status}; settle that before changing its tier"
            )));
        }
        let cycle = cycle.unwrap_or_else(|| self.cycle(&live.object));
        let prices = self.prices.of(tier).await?;
        let flat = prices.flat(cycle).ok_or_else(|| not_sold(tier, cycle))?;
        let held: Vec<HeldItem> = live.object.items.iter().filter_map(|item| self.held(item)).collect();
        let orders: Vec<_> = item_changes(&held, flat, &prices.metered).into_iter().map(order).collect();
        // Also where an earlier try was carried out, and its answer lost.
        if orders.is_empty() {
            return Ok(Done::Changed);
        }
        let (id, key) = (&live.object.id, operation.key("items")?);
        let flexible_key = operation.key("flexible")?;
        let change = async {
            // A classic subscription takes no second interval, and forgets what a replaced price has metered.
            if live.object.is_classic {
                make_flexible(&self.transport, id, &flexible_key).await?;
            }
            let changed =
                update_subscription(&self.transport, id, &orders, self.settings.now().proration, &key).await;
            changed.inspect_err(|error| self.forget_prices_after(error))
        };
        self.applier.change(&live.object.customer, change).await?;
        let after = format!("{} {}", tier.name, cycle.as_str());
        self.note(buyer, "subscription_changed", &live, Some(after)).await?;
        Ok(Done::Changed)
    }

    pub(super) async fn cancel(
        &self,
        buyer: &Buyer,
        at_period_end: bool,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        let live = match self.live(buyer).await? {
            Some(live) => live,
            // An earlier try has ended it.
            None if operation.goes_on => return Ok(Done::Changed),
            None => return Err(nothing_live()),
        };
        // What has not begun has no period to end with.
        let at_period_end = at_period_end && live.read.status != Status::Incomplete;
        let key = operation.key("cancel")?;
        let change = cancel_subscription(&self.transport, &live.object, at_period_end, &key);
        match self.applier.change(&live.object.customer, change).await {
            // An attempt whose answer was lost has ended it.
            Err(ApplyError::Stripe(error)) if error.is_missing() && self.live(buyer).await?.is_none() => {}
            changed => drop(changed?),
        }
        let when = if at_period_end { "at the period's end" } else { "at once" };
        self.note(buyer, "subscription_canceled", &live, Some(when.to_owned())).await?;
        Ok(Done::Changed)
    }

    pub(super) async fn resume(&self, buyer: &Buyer, operation: &Operation) -> Result<Done, ShopError> {
        let live = self.live(buyer).await?.ok_or_else(nothing_live)?;
        let ends = live.object.cancel_at_period_end || live.object.cancel_at.is_some();
        if !ends && live.read.status != Status::Paused {
            if operation.goes_on {
                return Ok(Done::Changed);
            }
            return Err(conflict(
                "the subscription is neither cancelled nor paused: there is nothing to resume",
            ));
        }
        let key = operation.key("resume")?;
        let change = resume_subscription(&self.transport, &live.object, &key);
        self.applier.change(&live.object.customer, change).await?;
        self.note(buyer, "subscription_resumed", &live, None).await?;
        Ok(Done::Changed)
    }

    /// Read from Stripe again: the items to replace are those that are there now.
    async fn live(&self, buyer: &Buyer) -> Result<Option<Live>, ShopError> {
        let Some(customer) = buyer.entry.stripe_customer() else { return Ok(None) };
        let (objects, _) = self.applier.listed(&customer, buyer.now).await?;
        let live = objects.into_iter().filter_map(|object| {
            let read = Subscription::read(&facts(&object)?, &self.catalogue.now());
            (read.tier.is_some() && read.status.is_live()).then_some(Live { object, read })
        });
        Ok(live.max_by_key(|live| (live.read.status.entitles(), live.read.rank)))
    }

    /// How often its tier is paid.
    fn cycle(&self, subscription: &SubscriptionObject) -> Cycle {
        let flat = subscription.items.iter().filter(|item| !item.metered && self.held(item).is_some());
        let yearly = flat.into_iter().any(|item| item.interval.as_deref() == Some("year"));
        if yearly { Cycle::Yearly } else { Cycle::Monthly }
    }

    /// An item that stands for a tier. What an operator has added beside it stays.
    fn held(&self, item: &SubscriptionItem) -> Option<HeldItem> {
        self.catalogue.now().tier_of_price(&item.price_id, item.lookup_key.as_deref())?;
        Some(HeldItem { id: item.id.clone(), price: item.price_id.clone(), meter: item.meter.clone() })
    }

    async fn note(
        &self,
        buyer: &Buyer,
        action: &'static str,
        live: &Live,
        after: Option<String>,
    ) -> Result<(), ShopError> {
        let act = Act {
            action,
            customer: Some(buyer.entry.number),
            detail: live.object.id.clone(),
            actor: "customer",
            before: live.read.tier.map(|tier| self.catalogue.now().tier(tier).name.to_string()),
            after,
        };
        Ok(self.store.note(act, clock::now().seconds()).await?)
    }
}

fn order(change: ItemChange) -> ItemOrder {
    match change {
        ItemChange::Replace { item, price } => ItemOrder::Replace { item, price },
        ItemChange::Add { price } => ItemOrder::Add { price },
        ItemChange::Remove { item } => ItemOrder::Remove { item },
    }
}

fn nothing_live() -> ShopError {
    conflict("there is no subscription; buy one by checkout")
}
