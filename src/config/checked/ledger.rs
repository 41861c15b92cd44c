//! `[ledger]`.

use std::time::Duration;

use crate::config::written;

#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    pub durability: written::Durability,
    /// With [`written::Durability::Process`]: the most that power loss can take.
    pub sync_interval: Duration,
    pub retention: Duration,
}

pub(crate) fn check(ledger: &written::Ledger) -> Ledger {
    Ledger {
        durability: ledger.durability.value,
        sync_interval: ledger.sync_interval.value.0,
        retention: ledger.retention.value.0,
    }
}
