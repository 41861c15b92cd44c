//! Rates: `"5/s"`, `"600/m"`, `"1000/h"`, `"50000/d"`.

use std::num::NonZeroU32;

use serde_json::Value as Json;

use super::{digits_and_rest, pattern};
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;
use crate::domain::rate::Rate;

/// A rate as written, before its burst is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub count: NonZeroU32,
    period_seconds: NonZeroU32,
}

/// An empty bucket must fill again within a year: beyond that it is no rate but a quota.
const LONGEST_WINDOW_SECONDS: u64 = 366 * 86_400;

impl Pace {
    /// The rate with a burst; `None` if it would take more than a year to earn the burst back.
    pub(crate) fn with_burst(self, burst: NonZeroU32) -> Option<Rate> {
        let window =
            u64::from(self.period_seconds.get()) * u64::from(burst.get()) / u64::from(self.count.get());
        (window <= LONGEST_WINDOW_SECONDS).then(|| Rate::new(self.count, self.period_seconds, burst))
    }

    /// The rate whose burst is its number.
    pub(crate) fn rate(self) -> Rate {
        Rate::new(self.count, self.period_seconds, self.count)
    }
}

impl Read for Pace {
    fn schema() -> Json {
        pattern("rate", "[0-9]+/[smhd]")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write requests per second, minute, hour or day: "5/s", "600/m", "1000/h" or "50000/d""#;
        reader.parse(node, help, |text| parse(text).ok_or_else(|| "this is not a rate".into()))
    }
}

fn parse(text: &str) -> Option<Pace> {
    let (count, unit) = digits_and_rest(text)?;
    let period_seconds = match unit {
        "/s" => 1,
        "/m" => 60,
        "/h" => 3_600,
        "/d" => 86_400,
        _ => return None,
    };
    Some(Pace {
        count: NonZeroU32::new(u32::try_from(count).ok()?)?,
        period_seconds: NonZeroU32::new(period_seconds)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_requests_per_period() {
        let nz = |number| NonZeroU32::new(number).expect("not zero");
        for (text, count, seconds) in
            [("5/s", 5, 1), ("600/m", 600, 60), ("1000/h", 1000, 3600), ("1/d", 1, 86_400)]
        {
            let expected = Pace { count: nz(count), period_seconds: nz(seconds) };
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "5", "/s", "0/s", "5/w", "-5/s", "5 / s", "4294967296/s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_burst_that_takes_years_to_earn_back_is_refused() {
        let slow = parse("1/d").expect("a rate");
        let burst = |number| NonZeroU32::new(number).expect("not zero");
        assert!(slow.with_burst(burst(366)).is_some());
        assert!(slow.with_burst(burst(367)).is_none());
        assert!(slow.with_burst(burst(u32::MAX)).is_none());
    }
}
