//! `rate` and `burst`, which tiers and routes share.

use std::num::NonZeroU32;

use crate::config::findings::Findings;
use crate::config::read::Given;
use crate::config::values::number::Number;
use crate::config::values::pace::Pace;
use crate::domain::rate::Rate;

/// The rate, if there is one. A burst that is left out is the rate's number.
pub(super) fn check(
    rate: &Given<Pace>,
    burst: &Given<Number<1, 1_000_000>>,
    found: &mut Findings,
) -> Option<Rate> {
    if let (true, Some(burst)) = (rate.is_left_out(), burst.at()) {
        found.error(
            &burst.place,
            "there is no rate that this is the burst of",
            "add `rate`, or leave `burst` out",
        );
    }
    let pace = rate.get()?;
    let Some(written) = burst.at() else { return Some(pace.rate()) };
    let burst = u32::try_from(written.value.0).ok().and_then(NonZeroU32::new)?;
    let rate = pace.with_burst(burst);
    if rate.is_none() {
        let help = "write a smaller burst, or a higher rate";
        found.error(&written.place, "at this rate the burst would take more than a year to earn back", help);
    }
    rate
}
