//! The one clock: wall time, for everything that is not arithmetic. Decisions take `now` as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::usage::Now;

/// A clock before 1970 or after 2554 is set wrong; it counts as the nearest of them.
pub fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
