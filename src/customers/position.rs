//! Where a customer stands, whether in memory or not.

use std::sync::Arc;

use crate::domain::subscription::{Outline, Standing};
use crate::domain::tier::Tier;
use crate::domain::usage::Now;
use crate::store::StoreError;

use super::Customers;

/// A customer's tier in force, and what is told of the best of their subscriptions.
#[derive(Clone, Debug)]
pub struct Position {
    pub number: u32,
    pub tier: Option<Arc<Tier>>,
    pub subscription: Option<Outline>,
    /// A payment for what is sold here is late.
    pub in_grace: bool,
}

impl Position {
    /// Stripe's word, or `no_subscription` where there never was one.
    pub fn status(&self) -> &'static str {
        Outline::word(self.subscription)
    }
}

impl Customers {
    /// Of whoever has no other.
    pub fn default_tier(&self) -> Option<Arc<Tier>> {
        let catalogue = self.book().catalogue.clone();
        catalogue.default_tier.map(|id| catalogue.tier(id).clone())
    }

    /// Of a customer that the store knows, as it knows them.
    pub async fn position(&self, name: &str, now: Now) -> Result<Position, StoreError> {
        let loaded = self.read(name, None, false, now).await?;
        let entitlement = loaded.understood.entitlement;
        Ok(Position {
            number: loaded.customer.number,
            tier: entitlement.tier_at(now.seconds()).cloned(),
            subscription: loaded.understood.subscription,
            in_grace: matches!(entitlement.standing, Standing::Grace { .. }),
        })
    }
}
