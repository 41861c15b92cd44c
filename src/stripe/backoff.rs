//! How long to wait before the next try: exponential, bounded, and jittered so that many do not come at once.

use std::time::Duration;

/// Pauses that double from `first` up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// Between the attempts of one call that somebody waits for.
    pub const WITHIN_CALL: Self = Self { first: Duration::from_millis(500), longest: Duration::from_secs(5) };

    /// Between tries of what durable state keeps: at most 30 s, so that a backlog leaves soon after Stripe is back.
    pub const DURABLE: Self = Self { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

    /// The pause after `tries` failed tries (1 for the first). `random` is uniform over its type; it picks a
    /// point in the upper half of the step, so that a pause is never longer than the step nor under half of it.
    #[must_use]
    pub fn pause(&self, tries: u32, random: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.longest);
        let half = step / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// Randomness for [`Backoff::pause`]; the middle of the range should the system have none.
#[must_use]
pub fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pause_lies_in_the_upper_half_of_its_step(tries: u32, random: u32) {
            let step = Duration::from_secs(1).saturating_mul(1 << tries.saturating_sub(1).min(10));
            let step = step.min(Duration::from_secs(30));
            let pause = Backoff::DURABLE.pause(tries, random);
            prop_assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }

        #[test]
        fn more_tries_never_pause_less(tries in 0_u32..100, random: u32) {
            let backoff = Backoff::WITHIN_CALL;
            prop_assert!(backoff.pause(tries, random) <= backoff.pause(tries + 1, random));
        }

        #[test]
        fn any_setting_is_computed_without_overflow(first: u64, longest: u64, tries: u32, random: u32) {
            let longest = Duration::from_secs(longest);
            let backoff = Backoff { first: Duration::from_secs(first), longest };
            prop_assert!(backoff.pause(tries, random) <= longest);
        }
    }

    #[test]
    fn the_longest_durable_pause_is_30_seconds() {
        assert_eq!(Backoff::DURABLE.pause(u32::MAX, u32::MAX), Duration::from_secs(30));
        assert_eq!(Backoff::DURABLE.pause(1, 0), Duration::from_millis(500));
    }
}
