//! Periods: the windows in which a quota holds, half-open `[start, end)` in seconds since the epoch, UTC.
//!
//! A period is Stripe's period: it follows the subscription item. Where news of the next one is late, the window
//! rolls by itself to the anchor's next interval, with the day of the month clamped as Stripe clamps it
//! (<https://docs.stripe.com/billing/subscriptions/billing-cycle>): an anchor on the 31st falls on the 28th, 29th or
//! 30th of a shorter month and returns to the 31st.

use serde::{Deserialize, Serialize};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

/// A half-open window `[start, end)` of seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Period {
    pub start: i64,
    pub end: i64,
}

/// How long a subscription's periods last: `recurring.interval` and `interval_count` of its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    Days(u32),
    Months(u32),
}

impl Interval {
    /// Reads Stripe's words; weeks are seven days, years twelve months.
    pub fn parse(word: &str, count: u32) -> Option<Self> {
        let count = count.clamp(1, 1200);
        match word {
            "day" => Some(Self::Days(count)),
            "week" => Some(Self::Days(count * 7)),
            "month" => Some(Self::Months(count)),
            "year" => Some(Self::Months(count * 12)),
            _ => None,
        }
    }

    fn times(self, n: i64) -> Span {
        match self {
            Self::Days(days) => (i64::from(days) * n).days(),
            Self::Months(months) => (i64::from(months) * n).months(),
        }
    }

    fn approximate_seconds(self) -> i64 {
        match self {
            Self::Days(days) => i64::from(days) * 86_400,
            Self::Months(months) => i64::from(months) * 2_629_746,
        }
    }
}

impl Period {
    pub fn contains(self, now: i64) -> bool {
        (self.start..self.end).contains(&now)
    }

    /// Seconds from `now` to the end; 0 when it has passed.
    pub fn seconds_left(self, now: i64) -> u64 {
        u64::try_from(self.end - now).unwrap_or(0)
    }

    pub fn length_seconds(self) -> u64 {
        u64::try_from(self.end - self.start).unwrap_or(0)
    }

    /// The calendar month in UTC that holds `now`: the window of those without a subscription.
    pub fn calendar_month(now: i64) -> Self {
        let first = civil(now).date().first_of_month().to_datetime(jiff::civil::Time::midnight());
        Self { start: seconds(first), end: seconds(first.saturating_add(1.month())) }
    }

    /// The interval, counted from `anchor`, that holds `now`.
    pub fn anchored(anchor: i64, interval: Interval, now: i64) -> Self {
        let origin = civil(anchor);
        let edge = |n: i64| seconds(origin.saturating_add(interval.times(n)));
        let mut n = (now - anchor).div_euclid(interval.approximate_seconds());
        while edge(n) > now && edge(n) > edge(n - 1) {
            n -= 1;
        }
        while edge(n + 1) <= now && edge(n + 1) > edge(n) {
            n += 1;
        }
        Self { start: edge(n), end: edge(n + 1) }
    }
}

fn civil(at: i64) -> DateTime {
    let bounded = at.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let timestamp = Timestamp::from_second(bounded).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(timestamp)
}

fn seconds(at: DateTime) -> i64 {
    TimeZone::UTC.to_timestamp(at).map_or(Timestamp::MAX.as_second(), Timestamp::as_second)
}

/// An instant as RFC 3339 has it, or the beginning of a date in UTC; in microseconds.
pub fn parse_instant(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_microsecond());
    }
    let date = (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// An instant as RFC 3339 in UTC, to the second.
pub fn rfc3339(at: i64) -> String {
    format!("{}Z", civil(at).strftime("%Y-%m-%dT%H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("an instant").as_second()
    }

    fn shown(period: Period) -> (String, String) {
        (rfc3339(period.start), rfc3339(period.end))
    }

    #[test]
    fn the_calendar_month_is_utc_and_half_open() {
        let november = Period::calendar_month(at("2026-11-20T10:36:00Z"));
        assert_eq!(shown(november), ("2026-11-01T00:00:00Z".into(), "2026-12-01T00:00:00Z".into()));
        assert!(november.contains(november.start) && !november.contains(november.end));
        assert_eq!(Period::calendar_month(november.end).start, november.end);
    }

    #[test]
    fn an_anchor_on_the_31st_is_clamped_and_comes_back() {
        let anchor = at("2026-01-31T08:30:00Z");
        let edges = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"];
        for pair in edges.windows(2) {
            let start = at(&format!("{}T08:30:00Z", pair[0]));
            let period = Period::anchored(anchor, Interval::Months(1), start);
            assert_eq!(shown(period).0, format!("{}T08:30:00Z", pair[0]));
            assert_eq!(shown(period).1, format!("{}T08:30:00Z", pair[1]));
        }
    }

    #[test]
    fn a_leap_day_anchor_clamps_in_common_years() {
        let anchor = at("2024-02-29T00:00:00Z");
        let period = Period::anchored(anchor, Interval::Months(12), at("2025-06-01T00:00:00Z"));
        assert_eq!(shown(period), ("2025-02-28T00:00:00Z".into(), "2026-02-28T00:00:00Z".into()));
    }

    #[test]
    fn stripes_words_become_intervals() {
        assert_eq!(Interval::parse("week", 2), Some(Interval::Days(14)));
        assert_eq!(Interval::parse("year", 1), Some(Interval::Months(12)));
        assert_eq!(Interval::parse("fortnight", 1), None);
    }

    proptest! {
        #[test]
        fn anchored_periods_hold_now_and_follow_each_other(
            anchor in 0i64..4_000_000_000, offset in -200_000_000i64..200_000_000, months in 1u32..14,
        ) {
            let now = anchor + offset;
            for interval in [Interval::Months(months), Interval::Days(months)] {
                let period = Period::anchored(anchor, interval, now);
                prop_assert!(period.contains(now));
                prop_assert_eq!(Period::anchored(anchor, interval, period.end).start, period.end);
                prop_assert_eq!(Period::anchored(anchor, interval, period.start - 1).end, period.start);
            }
        }
    }
}
