//! Our own limits towards Stripe, so that Stripe need not refuse: calls wait here instead.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Which of Stripe's limits a call counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The account's global limit.
    General,
    /// A quarter of it, for what reads everything again: what is told at the same time is not held up.
    Sync,
    /// Meter events have a limit of their own.
    MeterEvents,
}

/// One rate limiter per lane.
#[derive(Debug)]
pub(super) struct Limiter {
    general: DefaultDirectRateLimiter,
    sync: DefaultDirectRateLimiter,
    meter_events: DefaultDirectRateLimiter,
}

impl Limiter {
    pub(super) fn new(general_per_second: NonZeroU32, meter_events_per_second: NonZeroU32) -> Self {
        Self {
            general: RateLimiter::direct(quota(general_per_second)),
            sync: RateLimiter::direct(quota(quarter(general_per_second))),
            meter_events: RateLimiter::direct(quota(meter_events_per_second)),
        }
    }

    /// Waits for the lane's turn.
    pub(super) async fn turn(&self, lane: Lane) {
        match lane {
            Lane::General => self.general.until_ready().await,
            Lane::Sync => {
                self.sync.until_ready().await;
                self.general.until_ready().await;
            }
            Lane::MeterEvents => self.meter_events.until_ready().await,
        }
    }
}

fn quarter(per_second: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(per_second.get() / 4).unwrap_or(NonZeroU32::MIN)
}

/// A tenth of a second's calls may go at once: no second ever sees more than 1.1 times the rate. (A burst of
/// the whole rate, the default, would let twice the rate through in the first second.)
fn quota(per_second: NonZeroU32) -> Quota {
    let burst = NonZeroU32::new(per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(per_second).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_sees_more_than_a_tenth_over_the_rate(rate in 1_u32..2000) {
            let rate = NonZeroU32::new(rate).expect("the range starts at 1");
            let clock = FakeRelativeClock::default();
            let limiter = RateLimiter::direct_with_clock(quota(rate), clock.clone());
            let mut sent = 0;
            for _ in 0..1000 {
                while limiter.check().is_ok() {
                    sent += 1;
                }
                clock.advance(Duration::from_millis(1));
            }
            let burst = (rate.get() / 10).max(1);
            prop_assert!(sent <= rate.get() + burst, "{sent} at {rate}/s");
            prop_assert!(sent + 1 >= rate.get(), "{sent} at {rate}/s");
        }
    }

    #[tokio::test]
    async fn reading_everything_again_takes_a_quarter_of_the_accounts_limit() {
        let quarters = [1, 3, 4, 80].map(|rate| quarter(NonZeroU32::new(rate).expect("not zero")).get());
        assert_eq!(quarters, [1, 1, 1, 20]);
        let limiter = Limiter::new(NonZeroU32::MIN, NonZeroU32::MIN);
        limiter.turn(Lane::Sync).await;
        assert!(limiter.sync.check().is_err(), "its own share is used up");
        assert!(limiter.general.check().is_err(), "and it counts towards the account's limit");
    }

    #[tokio::test]
    async fn the_lanes_do_not_wait_for_each_other() {
        let slow = NonZeroU32::MIN;
        let limiter = Limiter::new(slow, NonZeroU32::new(1000).expect("not zero"));
        limiter.turn(Lane::General).await;
        assert!(limiter.general.check().is_err(), "the general lane is used up");
        limiter.turn(Lane::MeterEvents).await;
    }
}
