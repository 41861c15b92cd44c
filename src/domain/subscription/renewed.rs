//! What was entitled by one catalogue, under the one that follows it.

use super::{Entitlement, Standing, Status};
use crate::domain::catalogue::Catalogue;

impl Entitlement {
    /// The same under a catalogue that follows the one that it is of, as far as it follows from itself: `status` is that
    /// of the best subscription, `fallback` what those have who have none. What an operator has set stays as it is.
    #[must_use]
    pub fn under(&self, status: Option<Status>, fallback: &Self, catalogue: &Catalogue) -> Self {
        let own = self.tier.as_ref().filter(|_| status.is_some_and(holds_a_tier));
        let Some(own) = own else {
            let fallback = fallback.clone().with_block(self.standing == Standing::Blocked);
            return Self { overridden: self.overridden.clone(), ..fallback };
        };
        Self { tier: Some(catalogue.tier(own.id).clone()), ..self.clone() }
    }
}

/// Has a tier of its own, whether it may be used or not.
fn holds_a_tier(status: Status) -> bool {
    !matches!(status, Status::Incomplete | Status::IncompleteExpired | Status::Canceled)
}
