//! What a request says about the payment it causes, and whether it is refused for it.

use super::{Item, Subscription};
use crate::sandbox::error::ApiError;
use crate::sandbox::invoices::{self, Bill, Collect, Reason};
use crate::sandbox::params::Params;
use crate::sandbox::payments;
use crate::sandbox::state::State;

/// `payment_behavior`, in Stripe's words.
#[allow(clippy::enum_variant_names)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PaymentBehavior {
    /// What cannot be paid is left unpaid: `incomplete`, or `past_due` for an update.
    #[default]
    AllowIncomplete,
    /// Nothing is taken before the customer confirms it.
    DefaultIncomplete,
    /// What cannot be paid is refused with 402, and nothing changes.
    ErrorIfIncomplete,
}

impl PaymentBehavior {
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        match params.filled("payment_behavior") {
            None | Some("allow_incomplete") => Ok(Self::AllowIncomplete),
            Some("default_incomplete") => Ok(Self::DefaultIncomplete),
            Some("error_if_incomplete") => Ok(Self::ErrorIfIncomplete),
            Some(other) => {
                let message = format!(
                    "Invalid payment_behavior: the sandbox knows allow_incomplete, default_incomplete and \
                     error_if_incomplete; got {other}"
                );
                Err(ApiError::parameter("payment_behavior", "parameter_invalid", message))
            }
        }
    }

    pub fn collect(self) -> Collect {
        if self == Self::DefaultIncomplete { Collect::Later } else { Collect::Now }
    }

    /// Refuses, before anything has changed, what cannot be paid and must be.
    pub fn admit(
        self,
        state: &mut State,
        now: i64,
        subscription: &Subscription,
        bills: &[(Item, Bill)],
    ) -> Result<(), ApiError> {
        if self == Self::DefaultIncomplete || subscription.pause_collection.is_some() {
            return Ok(());
        }
        let due = invoices::draft(state, now, subscription, bills, Reason::Update)?.total();
        let card = subscription.default_payment_method.as_deref();
        match payments::check(state, due, &subscription.customer, card) {
            Err(error) if error.is_decline() && self == Self::AllowIncomplete => Ok(()),
            other => other,
        }
    }
}
