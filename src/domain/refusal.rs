//! Refusals: the typed no of an admission. Which status and text each becomes is `gateway/answer.rs`'s to say.

use super::units::MeterId;

/// Why a request is not admitted. Nothing was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The subscription is unpaid, past its grace, or there is no tier to fall back to.
    PaymentRequired,
    /// An operator has blocked the customer.
    Blocked,
    /// The subscription is paused.
    SubscriptionPaused,
    /// The route requires a feature that the tier does not have; its index in the catalogue.
    FeatureNotIncluded { feature: usize },
    /// Too many requests at once; nanoseconds until the next may come.
    RateLimited { wait_nanos: u64 },
    /// Too many requests of this member at once.
    MemberRateLimited { wait_nanos: u64 },
    /// The units of the period that each member may use are used or reserved by this one.
    MemberQuotaExceeded { meter: MeterId },
    /// The included units of the period are used or reserved, and overage is denied.
    QuotaExceeded { meter: MeterId },
    /// The included units are used or reserved, and so are the credits that the tier lives on.
    CreditsExhausted,
    /// The period's overage would pass the spend cap.
    SpendCapReached,
}
