//! What the requests of an account are held against, and what else admission asks of it. None of it changes in place:
//! those who have nothing of their own share one, and the others read theirs in two cache lines.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::idempotency::Limits;
use crate::domain::subscription::{Entitlement, Outline};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub entitlement: Entitlement,
    pub key_limits: Limits,
    /// Who stands for the customer at Stripe.
    pub stripe_customer: Option<SmolStr>,
    /// The best of the customer's subscriptions.
    pub subscription: Option<Outline>,
}

/// With the counts of an [`Arc`], a size that the allocator has. Each subscriber has one.
const _: () = assert!(size_of::<Terms>() + 16 <= 128, "the terms have grown");

impl Terms {
    /// A token without the claim goes with any link.
    pub fn are_linked_as(&self, claimed: Option<&str>) -> bool {
        claimed.is_none() || self.stripe_customer.as_deref() == claimed
    }
}

/// Of somebody unknown to Stripe, whose keys are not remembered.
impl From<Entitlement> for Arc<Terms> {
    fn from(entitlement: Entitlement) -> Self {
        let key_limits = Limits { keys: 0, repeats: 0 };
        Self::new(Terms { entitlement, key_limits, stripe_customer: None, subscription: None })
    }
}
