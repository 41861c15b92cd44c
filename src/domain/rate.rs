//! Request rates: the generic cell rate algorithm (GCRA, ITU-T I.371), asked first and spent afterwards.
//!
//! A bucket keeps one instant, the theoretical arrival time (TAT). [`Bucket::ask`] changes nothing, so that a
//! request can be held against several limits before any of them is spent. Instants and intervals are in
//! nanoseconds since the epoch.

use serde::{Deserialize, Serialize};

use std::num::NonZeroU32;
use std::time::Duration;

/// So many requests per period, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds in which one request is earned back; at least 1.
    interval: u64,
    burst: NonZeroU32,
}

const SECOND: u64 = 1_000_000_000;

impl Rate {
    /// `count` requests per `period_seconds`, up to `burst` at once. More than one request per nanosecond
    /// cannot be told from no limit and counts as one per nanosecond.
    pub fn new(count: NonZeroU32, period_seconds: NonZeroU32, burst: NonZeroU32) -> Self {
        let period = u64::from(period_seconds.get()) * SECOND;
        Self { interval: (period / u64::from(count.get())).max(1), burst }
    }

    /// The most requests that can come at once: `q` of the `RateLimit-Policy`.
    pub fn burst(self) -> u32 {
        self.burst.get()
    }

    /// Whole seconds in which an empty bucket fills: `w` of the `RateLimit-Policy`.
    pub fn window_seconds(self) -> u64 {
        self.capacity().div_ceil(SECOND).max(1)
    }

    /// A part of it, where so many share it without hearing of each other.
    #[must_use]
    pub fn shared_by(self, nodes: u32) -> Self {
        let nodes = NonZeroU32::new(nodes).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(self.burst.get().div_ceil(nodes.get())).unwrap_or(NonZeroU32::MIN);
        Self { interval: self.interval.saturating_mul(u64::from(nodes.get())), burst }
    }

    /// The time in which one request is earned back.
    pub fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    fn capacity(self) -> u64 {
        self.interval * u64::from(self.burst.get())
    }
}

/// One customer's use of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    tat: u64,
}

/// A permission to take one request from a bucket; only [`Bucket::spend`] makes it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a request that is let through must spend its permission"]
pub struct Permission {
    tat: u64,
}

impl Permission {
    /// Of a request that is counted elsewhere: no bucket holds it.
    pub fn lent() -> Self {
        Self { tat: 0 }
    }
}

impl Bucket {
    /// May one request pass now? If not, after how many nanoseconds.
    pub fn ask(self, rate: Rate, now: u64) -> Result<Permission, u64> {
        let tat = self.arrival(rate, now) + rate.interval;
        match tat.checked_sub(now + rate.capacity()) {
            None | Some(0) => Ok(Permission { tat }),
            Some(wait) => Err(wait),
        }
    }

    /// Takes the request that was asked for.
    pub fn spend(&mut self, permission: Permission) {
        self.tat = permission.tat;
    }

    /// Requests that may still come at once.
    pub fn remaining(self, rate: Rate, now: u64) -> u64 {
        (now + rate.capacity() - self.arrival(rate, now)) / rate.interval
    }

    /// Nanoseconds until one more request may come than now; 0 when the bucket is full.
    pub fn next_in(self, rate: Rate, now: u64) -> u64 {
        let used = self.arrival(rate, now) - now;
        match used % rate.interval {
            0 => used.min(rate.interval),
            part => part,
        }
    }

    /// One that is full again at that instant.
    pub fn until(nanos: u64) -> Self {
        Self { tat: nanos }
    }

    /// When it is full again.
    pub fn nanos(self) -> u64 {
        self.tat
    }

    /// The one of which more was spent.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        Self { tat: self.tat.max(other.tat) }
    }

    /// Whether nothing that was spent is still to be earned back.
    pub fn is_full(self, now: u64) -> bool {
        self.tat <= now
    }

    /// The TAT, never in the past and never further ahead than a spent bucket's: a clock that was set back must
    /// not lock a customer out.
    fn arrival(self, rate: Rate, now: u64) -> u64 {
        self.tat.clamp(now, now + rate.capacity())
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::{Clock, FakeRelativeClock};
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    fn rate(count: u32, seconds: u32, burst: u32) -> Rate {
        let nz = |n| NonZeroU32::new(n).expect("not zero");
        Rate::new(nz(count), nz(seconds), nz(burst))
    }

    const NOW: u64 = 1_800_000_000 * SECOND;

    #[test]
    fn a_full_bucket_lets_its_burst_through_and_then_says_when() {
        let (rate, mut bucket) = (rate(10, 1, 20), Bucket::default());
        for left in (0..20).rev() {
            let permission = bucket.ask(rate, NOW).expect("within the burst");
            bucket.spend(permission);
            assert_eq!(bucket.remaining(rate, NOW), left);
        }
        assert_eq!(bucket.ask(rate, NOW), Err(SECOND / 10));
        assert!(bucket.ask(rate, NOW + SECOND / 10).is_ok());
    }

    #[test]
    fn asking_spends_nothing() {
        let (rate, bucket) = (rate(1, 1, 1), Bucket::default());
        for _ in 0..3 {
            let _asked = bucket.ask(rate, NOW).expect("nothing was spent");
        }
        assert_eq!(bucket.remaining(rate, NOW), 1);
    }

    #[test]
    fn a_clock_set_back_does_not_lock_out() {
        let (rate, mut bucket) = (rate(10, 1, 10), Bucket::default());
        let permission = bucket.ask(rate, NOW).expect("full");
        bucket.spend(permission);
        let earlier = NOW - 3600 * SECOND;
        assert_eq!(bucket.ask(rate, earlier), Err(SECOND / 10));
    }

    #[test]
    fn windows_are_burst_over_rate_rounded_up() {
        assert_eq!(rate(10, 1, 20).window_seconds(), 2);
        assert_eq!(rate(600, 60, 1).window_seconds(), 1);
        assert_eq!(rate(1, 60, 3).window_seconds(), 180);
    }

    proptest! {
        #[test]
        fn agrees_with_governor(
            count in 1u32..500, burst in 1u32..50,
            steps in prop::collection::vec(0u64..2_000_000_000, 1..200),
        ) {
            let (ours, mut bucket) = (rate(count, 1, burst), Bucket::default());
            let nz = |n| NonZeroU32::new(n).expect("not zero");
            let quota = Quota::with_period(Duration::from_nanos(ours.interval))
                .expect("not zero").allow_burst(nz(burst));
            let clock = FakeRelativeClock::default();
            let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
            let mut now = NOW;
            for step in steps {
                clock.advance(Duration::from_nanos(step));
                now += step;
                let expected = oracle.check().map_err(|no| {
                    u64::try_from(no.wait_time_from(clock.now()).as_nanos()).expect("short")
                });
                match bucket.ask(ours, now) {
                    Ok(permission) => { prop_assert!(expected.is_ok()); bucket.spend(permission); }
                    Err(wait) => prop_assert_eq!(expected.expect_err("both refuse"), wait),
                }
            }
        }
    }
}
