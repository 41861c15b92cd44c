//! How many are connected, in all and from one network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics::METRICS;

/// Enough that cores rarely wait for each other.
const SHARDS: usize = 16;

/// Those who are connected.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    all: AtomicU64,
    /// Connections of each network, where they are limited.
    networks: [Mutex<HashMap<IpAddr, u64>>; SHARDS],
}

/// How many there may be; none: any number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    pub all: Option<u64>,
    pub of_one: Option<u64>,
}

/// Why nobody more is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    OfOne,
}

impl Full {
    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::OfOne => "address",
        }
    }
}

/// One that is connected, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    crowd: &'a Crowd,
    network: Option<IpAddr>,
}

impl Crowd {
    /// A place for one more. Without an address only the number of all counts.
    pub fn enter(&self, client: Option<IpAddr>, most: Most) -> Result<Place<'_>, Full> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        // From here on it leaves when it is dropped.
        let mut place = Place { crowd: self, network: None };
        METRICS.connections.inc();
        if most.all.is_some_and(|most| before >= most) {
            return Err(Full::All);
        }
        if let (Some(most), Some(client)) = (most.of_one, client) {
            let network = network_of(client);
            let mut networks = self.shard(network);
            let connected = networks.entry(network).or_default();
            if *connected >= most {
                return Err(Full::OfOne);
            }
            *connected += 1;
            place.network = Some(network);
        }
        Ok(place)
    }

    fn shard(&self, network: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        let last = match network {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[7],
        };
        // A count is whole whatever happened to who held it.
        self.networks[usize::from(last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            let mut networks = self.crowd.shard(network);
            if let Some(connected) = networks.get_mut(&network) {
                *connected -= 1;
                if *connected == 0 {
                    networks.remove(&network);
                }
            }
        }
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        METRICS.connections.dec();
    }
}

/// What one client has to itself: an address, of IPv6 a /64.
fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_has_so_many_and_others_have_theirs() {
        let crowd = Crowd::default();
        let most = Most { all: None, of_one: Some(2) };
        let enter = |client: &str| crowd.enter(Some(address(client)), most);
        let _first = enter("10.0.0.1").expect("room");
        let second = enter("::ffff:10.0.0.1").expect("room: the same, as IPv6 writes it");
        assert_eq!(enter("10.0.0.1").expect_err("full"), Full::OfOne);
        let _other = enter("10.0.0.2").expect("room");
        drop(second);
        let _third = enter("10.0.0.1").expect("one has left");
        let [_six, _seven] = ["2001:db8::1", "2001:db8::ffff"].map(|client| enter(client).expect("room"));
        assert_eq!(enter("2001:db8::2").expect_err("the same /64"), Full::OfOne);
        let _eighth = enter("2001:db8:0:1::1").expect("another /64");
    }

    #[test]
    fn who_was_not_let_in_takes_no_place() {
        let crowd = Crowd::default();
        let most = Most { all: Some(1), of_one: Some(1) };
        let only = crowd.enter(Some(address("10.0.0.1")), most).expect("room");
        for _ in 0..3 {
            assert_eq!(crowd.enter(Some(address("10.0.0.2")), most).expect_err("full"), Full::All);
        }
        drop(only);
        assert_eq!(crowd.all.load(Ordering::Relaxed), 0);
        assert!(crowd.networks.iter().all(|shard| shard.lock().expect("no panic").is_empty()));
        let _next = crowd.enter(None, most).expect("room for one without an address");
    }
}
