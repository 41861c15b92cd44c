//! Address ranges: `"10.0.0.0/8"`, `"2001:db8::/32"`, or one address.

use std::net::IpAddr;

use serde_json::{Value as Json, json};

use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Cidr {
    /// An IPv4 address that came over an IPv6 socket counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl Read for Cidr {
    fn schema() -> Json {
        json!({ "type": "string", "title": "address range" })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write a range such as "10.0.0.0/8" or "2001:db8::/32", or one address"#;
        reader.parse(node, help, |text| parse(text).ok_or_else(|| "this is not an address range".into()))
    }
}

fn parse(text: &str) -> Option<Cidr> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let network: IpAddr = address.parse().ok()?;
    let widest = if network.is_ipv4() { 32 } else { 128 };
    let prefix =
        prefix.map_or(Some(widest), |prefix| prefix.parse().ok()).filter(|prefix| *prefix <= widest)?;
    Some(Cidr { network, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_shares_its_first_bits() {
        for (range, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(parse(range).expect("a range").contains(address), inside, "{range} {address}");
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "/8", "10.0.0.0/-1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
