//! Anonymous callers: who shows nothing is a customer by the network that they call from.
//!
//! Such a customer's name begins as none can that a token or an operator gives: with a space in it. They are limited by
//! a tier, as all are, and owe nothing: nobody at Stripe ever stands for them.

use std::fmt::Display;

const PREFIX: &str = "ip ";

/// How many bits of an address make one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    pub ipv4: u8,
    pub ipv6: u8,
}

/// The customer who calls from a network: `ip 203.0.113.7`, `ip 2001:db8::/64`.
pub fn customer_of(network: impl Display) -> String {
    format!("{PREFIX}{network}")
}

/// Whether a customer is anonymous.
pub fn is_anonymous(customer: &str) -> bool {
    customer.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_customer_is_known_by_its_name() {
        assert!(is_anonymous(&customer_of("203.0.113.7")));
        assert!(!is_anonymous("ip") && !is_anonymous("key ip ") && !is_anonymous("ip-1"));
    }
}
