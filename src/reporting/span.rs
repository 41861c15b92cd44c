//! Which minutes are compared: `--period`.

use jiff::Timestamp;

use crate::domain::period::{Period, rfc3339};

const MINUTE: i64 = 60;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no period; write current, previous, a month such as 2026-11, or START..END with instants such as \
     2026-11-01 or 2026-11-01T12:00:00Z, END being the first that is left out"
)]
pub struct SpanError(String);

/// Why nothing of a period can be compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EmptyPeriod {
    #[error("the period has not begun: it begins at {0}")]
    NotBegun(String),
    #[error("no minute of the period has ended yet: it began at {0}, run it again in a minute")]
    Unfinished(String),
    #[error(
        "nothing of the period is kept: it ended at {end}, and delivered meter events are kept for \
         ledger.retention, at present since {since} (Stripe takes nothing older than 35 days)"
    )]
    Gone { end: String, since: String },
}

/// What of a period is still kept, where that reaches back to `since`.
pub(super) fn kept(asked: Period, since: i64, now: i64) -> Result<Period, EmptyPeriod> {
    let Period { start, end } = asked;
    if start > now {
        return Err(EmptyPeriod::NotBegun(rfc3339(start)));
    }
    if start >= end {
        return Err(EmptyPeriod::Unfinished(rfc3339(start)));
    }
    if end <= since {
        return Err(EmptyPeriod::Gone { end: rfc3339(end), since: rfc3339(since) });
    }
    Ok(Period { start: start.max(since), end })
}

/// The start of the minute that holds an instant.
pub(super) fn minute(at: i64) -> i64 {
    at.div_euclid(MINUTE) * MINUTE
}

/// The first whole minute that begins at an instant or later.
pub(super) fn next_minute(at: i64) -> i64 {
    minute(at + MINUTE - 1)
}

/// The minute that holds an instant.
pub(super) fn minute_of(at: i64) -> Period {
    Period { start: minute(at), end: minute(at) + MINUTE }
}

/// What a period's name stands for, in whole minutes: those that it begins or ends in are counted whole, and the
/// minute that has not ended yet waits. May be empty.
pub fn parse_period(name: &str, now: i64) -> Result<Period, SpanError> {
    let wrong = || SpanError(name.to_owned());
    let current = Period::calendar_month(now);
    let asked = match name {
        "current" => current,
        "previous" => Period::calendar_month(current.start - 1),
        _ => match name.split_once("..") {
            Some((start, end)) => {
                Period { start: instant(start).ok_or_else(wrong)?, end: instant(end).ok_or_else(wrong)? }
            }
            None => Period::calendar_month(instant(&format!("{name}-01")).ok_or_else(wrong)?),
        },
    };
    if asked.start >= asked.end {
        return Err(wrong());
    }
    let start = minute(asked.start);
    Ok(Period { start, end: next_minute(asked.end).min(minute(now)).max(start) })
}

/// An RFC 3339 instant, or the start of a day in UTC.
fn instant(text: &str) -> Option<i64> {
    let day = text.len() == "2026-11-01".len();
    let instant = if day { format!("{text}T00:00:00Z").parse() } else { text.parse::<Timestamp>() };
    Some(instant.ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str) -> Result<(String, String), SpanError> {
        let now = "2026-11-20T13:44:13Z".parse::<Timestamp>().expect("an instant").as_second();
        parse_period(name, now).map(|period| (rfc3339(period.start), rfc3339(period.end)))
    }

    #[test]
    fn periods_are_whole_minutes_and_the_unfinished_one_waits() {
        for (name, start, end) in [
            ("current", "2026-11-01T00:00:00Z", "2026-11-20T13:44:00Z"),
            ("previous", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("2026-02", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-11", "2026-11-01T00:00:00Z", "2026-11-20T13:44:00Z"),
            ("2026-11-02..2026-11-04", "2026-11-02T00:00:00Z", "2026-11-04T00:00:00Z"),
            (
                "2026-11-02T10:00:59Z..2026-11-02T12:00:01+01:00",
                "2026-11-02T10:00:00Z",
                "2026-11-02T11:01:00Z",
            ),
            ("2026-12", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(shown(name), Ok((start.to_owned(), end.to_owned())), "{name}");
        }
    }

    #[test]
    fn only_what_is_kept_is_compared_and_nothing_at_all_is_an_error() {
        let (since, now) = (6_000, 12_030);
        let kept = |start, end| kept(Period { start, end }, since, now);
        assert_eq!(kept(6_000, 9_000), Ok(Period { start: 6_000, end: 9_000 }));
        assert_eq!(kept(0, 6_060), Ok(Period { start: 6_000, end: 6_060 }), "cut");
        assert!(matches!(kept(0, 6_000), Err(EmptyPeriod::Gone { .. })));
        assert!(matches!(kept(12_000, 12_000), Err(EmptyPeriod::Unfinished(_))));
        assert!(matches!(kept(12_060, 12_060), Err(EmptyPeriod::NotBegun(_))));
    }

    #[test]
    fn what_is_no_period_is_told_how_to_write_one() {
        for name in ["", "yesterday", "2026-13", "2026-11-04..2026-11-02", "2026-11-02", "..", "2026-11-02.."]
        {
            let error = shown(name).expect_err(name).to_string();
            assert!(error.contains("START..END"), "{error}");
        }
    }
}
