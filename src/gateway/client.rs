//! Where a request comes from: the address of its client, also behind proxies that are trusted.
//!
//! A proxy puts the address that it was asked from behind those that stand in `X-Forwarded-For` already. Of what stands
//! there only what a trusted proxy has put is believed: from the right, up to the first address that is not trusted.
//! Whatever a client writes itself stands further left.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::domain::anonymous::Networks;

use super::Parts;
use super::connections::Connection;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Parts {
    /// None where the connection has no internet address. Costs nothing where the peer is the client.
    pub(super) fn client(&self, headers: &HeaderMap, connection: &Connection) -> Option<IpAddr> {
        let peer = connection.client?.to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        Some(behind(peer, forwarded_for(headers), |address| self.trusts(address)))
    }

    /// Whether what this address says of requests before it is believed.
    pub(super) fn trusts(&self, client: IpAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(client))
    }
}

/// The network of an address: `203.0.113.7`, `2001:db8::/64`.
pub(super) fn network(networks: Networks, address: IpAddr) -> String {
    let (network, bits, all) = match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(networks.ipv4)).unwrap_or(0);
            (IpAddr::V4((address.to_bits() & mask).into()), networks.ipv4, 32)
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(networks.ipv6)).unwrap_or(0);
            (IpAddr::V6((address.to_bits() & mask).into()), networks.ipv6, 128)
        }
    };
    if bits == all { network.to_string() } else { format!("{network}/{bits}") }
}

/// The first from the right that is not trusted; else the last that could be read.
fn behind(
    peer: IpAddr,
    from_the_right: impl Iterator<Item = Option<IpAddr>>,
    trusts: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut last = peer;
    for address in from_the_right.map_while(|address| address) {
        last = address;
        if !trusts(address) {
            break;
        }
    }
    last
}

/// From the right; None for what is no address.
fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')).map(address)
}

/// With or without a port, as proxies write it.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    let with_port = || text.parse().map(|address: SocketAddr| address.ip()).ok();
    let address = text.parse().ok().or_else(with_port).or_else(bare)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Whoever is in 10.0.0.0/8 is trusted, and so is the peer.
    fn client(headers: &[&'static str]) -> String {
        let headers: HeaderMap =
            headers.iter().map(|value| (FORWARDED_FOR, HeaderValue::from_static(value))).collect();
        let trusts = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10);
        behind(IpAddr::from([10, 0, 0, 1]), forwarded_for(&headers), trusts).to_string()
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        for (headers, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7, 10.0.0.9 , 10.0.0.8"], "203.0.113.7"),
            (&["198.51.100.1", "203.0.113.7,10.0.0.9"], "203.0.113.7"),
            (&["203.0.113.7", "10.0.0.9"], "203.0.113.7"),
            (&["10.0.0.9"], "10.0.0.9"),
            (&[], "10.0.0.1"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]:443"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["203.0.113.7:5000"], "203.0.113.7"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
        ] {
            assert_eq!(client(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_network_is_an_address_or_its_first_bits() {
        let usual = Networks { ipv4: 32, ipv6: 64 };
        let wide = Networks { ipv4: 24, ipv6: 48 };
        let all = Networks { ipv4: 0, ipv6: 0 };
        let single = Networks { ipv4: 32, ipv6: 128 };
        for (networks, address, expected) in [
            (usual, "203.0.113.7", "203.0.113.7"),
            (usual, "::ffff:203.0.113.7", "203.0.113.7"),
            (usual, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            (wide, "203.0.113.7", "203.0.113.0/24"),
            (wide, "2001:db8:1:2::3", "2001:db8:1::/48"),
            (all, "203.0.113.7", "0.0.0.0/0"),
            (all, "2001:db8::1", "::/0"),
            (single, "2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(network(networks, address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain() {
        for (headers, expected) in [
            (&["203.0.113.7, unknown, 10.0.0.9"][..], "10.0.0.9"),
            (&["203.0.113.7,"], "10.0.0.1"),
            (&["203.0.113.7, _hidden"], "10.0.0.1"),
            (&["203.0.113.7, 10.0.0"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(client(headers), expected, "{headers:?}");
        }
    }
}
