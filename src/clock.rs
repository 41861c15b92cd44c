//! The one clock: wall time, for everything that is not arithmetic. Decisions take `now` as an argument.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::usage::Now;

/// How far a fleet's time is ahead of this machine's, in nanoseconds; 0 without a fleet.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// A clock before 1970 or after 2554 is set wrong; it counts as the nearest of them.
pub fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    Now(nanos.saturating_add_signed(AHEAD.load(Ordering::Relaxed)))
}

/// Moves the clock towards that of a fleet.
pub fn shift(nanos: i64) {
    AHEAD.fetch_add(nanos, Ordering::Relaxed);
}
