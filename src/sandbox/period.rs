//! Billing periods as Stripe computes them: every boundary is counted from the anchor, never from the
//! boundary before.
//!
//! "A monthly subscription with a billing cycle anchor date of January 31 bills the last day of the
//! month closest to the anchor date, so February 28 (or February 29 in a leap year), then March 31,
//! April 30, and so on." (docs.stripe.com/billing/subscriptions/billing-cycle)

use jiff::{Span, Timestamp, tz::TimeZone};

const DAY: i64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    Day,
    Week,
    Month,
    Year,
}

impl Interval {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// Every `count` intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    pub interval: Interval,
    pub count: u32,
}

/// From `start` up to, not including, `end`; unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub start: i64,
    pub end: i64,
}

/// The `n`th boundary after the anchor; past the calendar's end, a moment that never comes.
pub fn boundary(anchor: i64, cadence: Cadence, n: i64) -> i64 {
    let steps = n.saturating_mul(i64::from(cadence.count));
    match cadence.interval {
        Interval::Day => anchor.saturating_add(steps.saturating_mul(DAY)),
        Interval::Week => anchor.saturating_add(steps.saturating_mul(7 * DAY)),
        Interval::Month => plus_months(anchor, steps),
        Interval::Year => plus_months(anchor, steps.saturating_mul(12)),
    }
}

fn plus_months(anchor: i64, months: i64) -> i64 {
    let shifted = || {
        let from = Timestamp::from_second(anchor).ok()?.to_zoned(TimeZone::UTC);
        let span = Span::new().try_months(months).ok()?;
        Some(from.checked_add(span).ok()?.timestamp().as_second())
    };
    shifted().unwrap_or(i64::MAX)
}

/// The period between two boundaries that contains an instant. The anchor may lie ahead of it.
pub fn containing(anchor: i64, cadence: Cadence, at: i64) -> Period {
    let roughly = match cadence.interval {
        Interval::Day => DAY,
        Interval::Week => 7 * DAY,
        Interval::Month => 30 * DAY,
        Interval::Year => 365 * DAY,
    } * i64::from(cadence.count);
    let mut n = at.saturating_sub(anchor).div_euclid(roughly);
    while boundary(anchor, cadence, n) > at {
        n -= 1;
    }
    while boundary(anchor, cadence, n + 1) <= at {
        n += 1;
    }
    Period { start: boundary(anchor, cadence, n), end: boundary(anchor, cadence, n + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTHLY: Cadence = Cadence { interval: Interval::Month, count: 1 };
    const YEARLY: Cadence = Cadence { interval: Interval::Year, count: 1 };

    fn at(instant: &str) -> i64 {
        instant.parse::<Timestamp>().expect("an instant").as_second()
    }

    fn day(second: i64) -> String {
        Timestamp::from_second(second).expect("an instant").to_string()[..10].to_owned()
    }

    #[test]
    fn an_anchor_on_the_31st_bills_on_the_last_day_of_shorter_months() {
        let anchor = at("2026-01-31T10:00:00Z");
        let days: Vec<_> = (0..5).map(|n| day(boundary(anchor, MONTHLY, n))).collect();
        assert_eq!(days, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]);
        assert_eq!(day(boundary(at("2028-01-31T10:00:00Z"), MONTHLY, 1)), "2028-02-29");
    }

    #[test]
    fn an_anchor_on_the_second_always_bills_on_the_second() {
        let anchor = at("2026-09-02T00:00:00Z");
        let days: Vec<_> = (0..30).map(|n| day(boundary(anchor, MONTHLY, n))).collect();
        assert!(days.iter().all(|day| day.ends_with("-02")));
    }

    #[test]
    fn a_weekly_anchor_keeps_its_weekday() {
        let weekly = Cadence { interval: Interval::Week, count: 1 };
        let anchor = at("2022-06-03T12:00:00Z");
        assert_eq!(day(boundary(anchor, weekly, 1)), "2022-06-10");
        assert_eq!(day(boundary(anchor, weekly, 52)), "2023-06-02");
    }

    #[test]
    fn a_leap_day_returns_every_four_years() {
        let anchor = at("2024-02-29T00:00:00Z");
        let days: Vec<_> = (0..5).map(|n| day(boundary(anchor, YEARLY, n))).collect();
        assert_eq!(days, ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]);
    }

    #[test]
    fn every_instant_lies_in_exactly_one_period() {
        let anchor = at("2026-01-31T10:00:00Z");
        for cadence in [MONTHLY, YEARLY, Cadence { interval: Interval::Month, count: 3 }] {
            for n in -40..40 {
                let edge = boundary(anchor, cadence, n);
                let before = containing(anchor, cadence, edge - 1);
                let after = containing(anchor, cadence, edge);
                assert_eq!((before.end, after.start), (edge, edge));
            }
        }
    }

    #[test]
    fn an_anchor_ahead_ends_the_first_period() {
        let anchor = at("2026-03-31T00:00:00Z");
        let period = containing(anchor, MONTHLY, at("2026-03-05T00:00:00Z"));
        assert_eq!((day(period.start), day(period.end)), ("2026-02-28".into(), "2026-03-31".into()));
    }
}
