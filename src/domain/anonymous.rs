//! Anonymous callers: who shows nothing is a customer by the network that they call from.
//!
//! Such a customer's name begins as none can that a token or an operator gives: with a space in it. They are limited by
//! a tier, as all are, and owe nothing: nobody at Stripe ever stands for them.

use std::net::IpAddr;

const PREFIX: &str = "ip ";

/// How many bits of an address make one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    pub ipv4: u8,
    pub ipv6: u8,
}

impl Networks {
    /// The customer who calls from an address: `ip 203.0.113.7`, `ip 2001:db8::/64`.
    pub fn customer(self, address: IpAddr) -> String {
        let (network, bits, all) = match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.ipv4)).unwrap_or(0);
                (IpAddr::V4((address.to_bits() & mask).into()), self.ipv4, 32)
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.ipv6)).unwrap_or(0);
                (IpAddr::V6((address.to_bits() & mask).into()), self.ipv6, 128)
            }
        };
        if bits == all { format!("{PREFIX}{network}") } else { format!("{PREFIX}{network}/{bits}") }
    }
}

/// Whether a customer is anonymous.
pub fn is_anonymous(customer: &str) -> bool {
    customer.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_customer() {
        let usual = Networks { ipv4: 32, ipv6: 64 };
        let wide = Networks { ipv4: 24, ipv6: 48 };
        let all = Networks { ipv4: 0, ipv6: 0 };
        let single = Networks { ipv4: 32, ipv6: 128 };
        for (networks, address, expected) in [
            (usual, "203.0.113.7", "ip 203.0.113.7"),
            (usual, "::ffff:203.0.113.7", "ip 203.0.113.7"),
            (usual, "2001:db8:1:2:3:4:5:6", "ip 2001:db8:1:2::/64"),
            (wide, "203.0.113.7", "ip 203.0.113.0/24"),
            (wide, "2001:db8:1:2::3", "ip 2001:db8:1::/48"),
            (all, "203.0.113.7", "ip 0.0.0.0/0"),
            (all, "2001:db8::1", "ip ::/0"),
            (single, "2001:db8::1", "ip 2001:db8::1"),
        ] {
            let customer = networks.customer(address.parse().unwrap());
            assert_eq!(customer, expected);
            assert!(is_anonymous(&customer));
        }
        assert!(!is_anonymous("ip") && !is_anonymous("key ip ") && !is_anonymous("ipx"));
    }
}
