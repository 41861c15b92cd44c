//! Notices: what others are told of a customer.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    TierChanged,
    PaymentFailed,
    GraceStarted,
    GraceEnding,
    /// A share of the included units of a period has been used.
    QuotaReached,
    SpendCapReached,
    CreditsLow,
    SubscriptionExpiring,
    TrialEnding,
    /// A customer has two subscriptions that entitle: one of them is paid for nothing.
    SubscriptionSecond,
    /// An event of Stripe's could not be applied.
    WebhookFailed,
    SyncFailed,
    WeeklyReport,
}

impl NoticeKind {
    pub const ALL: [Self; 13] = [
        Self::TierChanged,
        Self::PaymentFailed,
        Self::GraceStarted,
        Self::GraceEnding,
        Self::QuotaReached,
        Self::SpendCapReached,
        Self::CreditsLow,
        Self::SubscriptionExpiring,
        Self::TrialEnding,
        Self::SubscriptionSecond,
        Self::WebhookFailed,
        Self::SyncFailed,
        Self::WeeklyReport,
    ];

    /// The `type` of the message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TierChanged => "tier.changed",
            Self::PaymentFailed => "payment.failed",
            Self::GraceStarted => "grace.started",
            Self::GraceEnding => "grace.ending",
            Self::QuotaReached => "quota.reached",
            Self::SpendCapReached => "spend_cap.reached",
            Self::CreditsLow => "credits.low",
            Self::SubscriptionExpiring => "subscription.expiring",
            Self::TrialEnding => "trial.ending",
            Self::SubscriptionSecond => "subscription.second",
            Self::WebhookFailed => "webhook.failed",
            Self::SyncFailed => "sync.failed",
            Self::WeeklyReport => "report.weekly",
        }
    }
}

/// The shares of the included units that are told, in percent.
const SHARES: [u8; 3] = [50, 80, 100];

/// The highest share that a charge has reached and the one before had not.
pub fn reached(before: u64, after: u64, included: u64) -> Option<u8> {
    // Nearly every charge ends here, before any share or beyond all of them.
    if after < included / 2 || before >= included {
        return None;
    }
    let share = highest(after, included)?;
    (!holds(before, included, share)).then_some(share)
}

/// The highest share that so many units have reached.
pub fn highest(used: u64, included: u64) -> Option<u8> {
    SHARES.into_iter().rev().find(|share| included > 0 && holds(used, included, *share))
}

fn holds(used: u64, included: u64, share: u8) -> bool {
    u128::from(used) * 100 >= u128::from(included) * u128::from(share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_units_are_charged_each_share_is_told_once_and_the_last_is_the_highest(
            included in 0_u64..500,
            charges in prop::collection::vec(0_u64..200, 0..50),
        ) {
            let (mut used, mut told) = (0, Vec::new());
            for units in charges {
                told.extend(reached(used, used + units, included));
                used += units;
            }
            prop_assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
            prop_assert_eq!(told.last().copied(), highest(used, included));
        }
    }

    #[test]
    fn each_share_is_reached_once_and_a_large_charge_reaches_the_highest() {
        let shares: Vec<_> = (0..12).filter_map(|used| reached(used, used + 1, 10)).collect();
        assert_eq!(shares, [50, 80, 100]);
        assert_eq!(reached(0, 100, 10), Some(100));
        assert_eq!(reached(0, 2, 3), Some(50), "a share that is no whole unit is reached by the next");
        assert_eq!((reached(5, 5, 10), reached(0, 9, 0), reached(10, 20, 10)), (None, None, None));
        assert_eq!(reached(0, u64::MAX - 1, u64::MAX), Some(80));
    }

    #[test]
    fn what_has_been_reached_is_known_from_the_units_alone() {
        let shares: Vec<_> = (0..=11).map(|used| highest(used, 10)).collect();
        let (half, most, all) = (Some(50), Some(80), Some(100));
        assert_eq!(shares[..5], [None; 5]);
        assert_eq!(shares[5..], [half, half, half, most, most, all, all]);
        assert_eq!(
            (highest(0, 0), highest(5, 0)),
            (None, None),
            "nothing is included: there is no share of it"
        );
    }
}
