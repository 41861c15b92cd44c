//! What Tollgate itself has written on an object at Stripe: its metadata. Nobody but the account's owner can.

use serde_json::Value;

use super::loose::text;

/// The parts of an object's metadata that Tollgate writes and reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// `tollgate_customer`: whose it is.
    pub customer: Option<String>,
    /// `tollgate_pack`: the credit pack that is paid for.
    pub pack: Option<String>,
    /// `tollgate_units`: how many units it was sold with.
    pub units: Option<u64>,
}

impl Marks {
    pub(super) fn read(object: &Value) -> Self {
        Self {
            customer: text(object, "/metadata/tollgate_customer"),
            pack: text(object, "/metadata/tollgate_pack"),
            units: text(object, "/metadata/tollgate_units").and_then(|units| units.parse().ok()),
        }
    }
}
