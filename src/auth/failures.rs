//! Failed authentications, limited for each address they come from.
//!
//! Who has failed too often is refused before anything of theirs is verified, until some of it is earned back. What
//! needs no verification passes all the same: a token that is remembered, a key that is in force. So nobody is shut
//! out by a neighbour behind the same address while what they show is known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::AuthError;
use crate::domain::rate::{Bucket, Rate};

const SHARDS: usize = 16;
/// Addresses remembered in a shard before those are looked for that can be forgotten.
const ROOMY: usize = 1_024;
/// The most of them. Who has so many addresses is not held by any limit on one.
const MOST: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// The failures of all addresses.
pub struct Failures {
    rate: Rate,
    shards: [Mutex<Shard>; SHARDS],
}

struct Shard {
    buckets: HashMap<IpAddr, Bucket>,
    /// So many are worth a look.
    sweep_at: usize,
}

impl Failures {
    pub fn new(rate: Rate) -> Self {
        let shard = || Mutex::new(Shard { buckets: HashMap::new(), sweep_at: ROOMY });
        Self { rate, shards: std::array::from_fn(|_| shard()) }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether an address may fail once more.
    ///
    /// # Errors
    /// When it has failed too often.
    pub fn check(&self, address: IpAddr, now_seconds: i64) -> Result<(), AuthError> {
        let network = network(address);
        let shard = self.shard(network);
        let bucket = shard.buckets.get(&network).copied().unwrap_or_default();
        match bucket.ask(self.rate, nanos(now_seconds)) {
            Ok(_) => Ok(()),
            Err(wait) => Err(AuthError::TooMany { seconds: wait.div_ceil(SECOND) }),
        }
    }

    /// An address has failed.
    pub fn note(&self, address: IpAddr, now_seconds: i64) {
        let (network, now) = (network(address), nanos(now_seconds));
        let mut shard = self.shard(network);
        shard.make_room(now);
        let bucket = shard.buckets.entry(network).or_default();
        // Several that were verified at once may have failed: what is spent is at most all.
        if let Ok(permission) = bucket.ask(self.rate, now) {
            bucket.spend(permission);
        }
    }

    fn shard(&self, network: IpAddr) -> MutexGuard<'_, Shard> {
        let sum =
            |bytes: &[u8]| bytes.iter().fold(0, |sum: usize, byte| sum * 31 % 65_521 + usize::from(*byte));
        let place = match network {
            IpAddr::V4(address) => sum(&address.octets()),
            IpAddr::V6(address) => sum(&address.octets()),
        };
        self.shards[place % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn make_room(&mut self, now: u64) {
        if self.buckets.len() < self.sweep_at {
            return;
        }
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        if self.buckets.len() >= MOST {
            self.buckets.clear();
        }
        self.sweep_at = ROOMY.max(2 * self.buckets.len()).min(MOST);
    }
}

/// What one host or site has: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn nanos(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn failures(count: u32) -> Failures {
        let count = NonZeroU32::new(count).unwrap();
        Failures::new(Rate::new(count, NonZeroU32::new(60).unwrap(), count))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_fails_too_often_waits_and_others_do_not() {
        let failures = failures(3);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..3 {
            assert_eq!(failures.check(one, NOW), Ok(()));
            failures.note(one, NOW);
        }
        assert_eq!(failures.check(one, NOW), Err(AuthError::TooMany { seconds: 20 }));
        assert!(failures.check(address("::ffff:192.0.2.1"), NOW).is_err(), "it is the same");
        assert_eq!(failures.check(other, NOW), Ok(()));
        assert_eq!(failures.check(one, NOW + 20), Ok(()));
    }

    #[test]
    fn an_ipv6_site_is_one_address() {
        let failures = failures(1);
        failures.note(address("2001:db8:0:1::1"), NOW);
        assert!(failures.check(address("2001:db8:0:1:ffff::2"), NOW).is_err());
        assert!(failures.check(address("2001:db8:0:2::1"), NOW).is_ok());
    }

    #[test]
    fn what_is_kept_follows_those_who_fail_now_and_never_passes_its_bound() {
        let failures = failures(1);
        let kept =
            || -> usize { failures.shards.iter().map(|shard| shard.lock().unwrap().buckets.len()).sum() };
        for number in 0..100_000_u32 {
            failures.note(IpAddr::V4(number.into()), NOW);
        }
        assert_eq!(kept(), 100_000, "none has earned anything back");
        for number in 0..200_000_u32 {
            failures.note(IpAddr::V4((1 << 24 | number).into()), NOW + 3_600);
        }
        assert!(kept() <= 200_000 + SHARDS * ROOMY, "{}", kept());
        for number in 0..2_000_000_u32 {
            failures.note(IpAddr::V4((1 << 25 | number).into()), NOW + 3_600);
        }
        assert!(kept() <= SHARDS * MOST, "{}", kept());
    }
}
