//! Buying a tier with a payment method that the customer's browser has made at Stripe.

use crate::clock;
use crate::domain::tier::Tier;
use crate::problem::{Code, Problem};
use crate::store::Act;
use crate::stripe::{
    CallError, NewSubscription, attach_payment_method, create_subscription, has_payment_method,
};

use super::operation::Operation;
use super::{Buyer, Done, Shop, ShopError, Wanted, not_sold, refuse_subscribers};

impl Shop {
    pub(super) async fn subscribe(
        &self,
        buyer: &Buyer,
        wanted: &Wanted,
        payment_method: &str,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        let Wanted { tier, cycle } = wanted;
        let prices = self.prices.of(tier).await?;
        let flat = prices.flat(*cycle).ok_or_else(|| not_sold(tier, *cycle))?;
        // An earlier try may have been carried out, and its answer lost.
        self.sync(buyer).await?;
        if operation.goes_on && has(buyer, tier) {
            return Ok(Done::Changed);
        }
        refuse_subscribers(buyer)?;
        self.close_checkout(buyer, operation).await?;
        let trial_days = self.trial_days(buyer, tier).await?;
        let customer = self.stripe_customer(buyer).await?;
        let method = self.attach(payment_method, &customer, operation).await?;
        let metered: Vec<&str> = prices.metered.iter().map(|price| price.price.as_str()).collect();
        let new = NewSubscription {
            customer: &customer,
            flat,
            metered: &metered,
            payment_method: &method,
            trial_days,
            mixed: prices.are_mixed(*cycle),
            metadata: &[("tollgate_customer", buyer.entry.name.to_string())],
        };
        let key = operation.key("subscription")?;
        let made = self.applier.change(&customer, async {
            create_subscription(&self.transport, &new, &key)
                .await
                .inspect_err(|error| self.forget_prices_after(error))
        });
        let made = made.await?;
        let act = Act {
            action: "subscription_created",
            customer: Some(buyer.entry.number),
            detail: made.id,
            actor: "customer",
            after: Some(format!("{} {}", tier.name, cycle.as_str())),
            ..Act::default()
        };
        self.store.note(act, clock::now().seconds()).await?;
        Ok(Done::Changed)
    }

    /// Stripe gives nobody what is another's.
    async fn attach(
        &self,
        payment_method: &str,
        customer: &str,
        operation: &Operation,
    ) -> Result<String, ShopError> {
        let key = operation.key("payment-method")?;
        match attach_payment_method(&self.transport, payment_method, customer, &key).await {
            Err(CallError::Status(error)) if matches!(error.status, 400 | 404) => {
                // One that is kept for the customer need not be given to them again.
                if has_payment_method(&self.transport, customer, payment_method).await? {
                    return Ok(payment_method.to_owned());
                }
                let detail = "payment_method is none that this customer can use; make a new one";
                Err(ShopError::RefusedByStripe(Problem::new(Code::Unprocessable, detail)))
            }
            Err(CallError::Unsendable { .. }) => {
                let detail = "payment_method is the id of a payment method at Stripe, `pm_…`";
                Err(ShopError::Refused(Problem::new(Code::Unprocessable, detail)))
            }
            method => Ok(method?),
        }
    }
}

fn has(buyer: &Buyer, tier: &Tier) -> bool {
    let subscribed = refuse_subscribers(buyer).is_err();
    subscribed && buyer.entry.own_tier() == Some(tier.id)
}
