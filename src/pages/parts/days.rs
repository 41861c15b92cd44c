//! A period's units by day: each day up to today has its place, whether anything was used on it or not.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::chart::{Chart, chart};
use super::words::words;
use crate::domain::period::{parse_instant, rfc3339};

const DAY_SECONDS: i64 = 86_400;
/// More bars than anybody reads; a period has 31.
const MOST_DAYS: usize = 400;

/// A chart for each meter. The period's ends are instants in RFC 3339, `now` is in seconds since the epoch; a row is a
/// day (`2026-11-20`), a meter and its units.
pub fn by_day<'a>(
    (start, end): (&str, &str),
    now: i64,
    rows: impl Iterator<Item = (&'a str, &'a str, i64)>,
) -> Markup {
    let days = days(start, end, now);
    let mut meters: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for (day, meter, units) in rows {
        *meters.entry(meter).or_default().entry(day).or_default() += units;
    }
    html! {
        @for (meter, units) in meters {
            @let points: Vec<_> = days.iter().map(|day| {
                (day.clone(), units.get(day.as_str()).copied().unwrap_or(0))
            }).collect();
            (chart(&Chart {
                title: &format!("{}, by day", words(meter)),
                of: ("Day", "Units"),
                points: &points,
            }))
        }
    }
}

/// The period's days up to today.
fn days(start: &str, end: &str, now: i64) -> Vec<String> {
    let seconds = |instant| parse_instant(instant).map(|micros| micros.div_euclid(1_000_000));
    let (Some(start), Some(end)) = (seconds(start), seconds(end)) else { return Vec::new() };
    let first = start - start.rem_euclid(DAY_SECONDS);
    let midnights = (0..).map(|day| first + day * DAY_SECONDS).take_while(|at| *at < end.min(now + 1));
    midnights.take(MOST_DAYS).map(|at| rfc3339(at)[..10].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: (&str, &str) = ("2026-11-29T13:00:00Z", "2026-12-02T13:00:00Z");

    fn at(now: &str) -> i64 {
        parse_instant(now).expect("an instant") / 1_000_000
    }

    #[test]
    fn a_period_is_shown_up_to_today() {
        let days = |now| days(PERIOD.0, PERIOD.1, at(now));
        assert_eq!(days("2026-11-29T14:00:00Z"), ["2026-11-29"]);
        assert_eq!(days("2026-12-01T00:00:00Z"), ["2026-11-29", "2026-11-30", "2026-12-01"]);
        assert_eq!(days("2027-01-01T00:00:00Z").last().map(String::as_str), Some("2026-12-02"));
        assert!(super::days("soon", PERIOD.1, 0).is_empty());
    }

    #[test]
    fn a_day_without_usage_has_its_place_between_the_others() {
        let rows = [("2026-11-29", "api_calls", 7), ("2026-12-01", "api_calls", 3)];
        let html = by_day(PERIOD, at("2026-12-01T12:00:00Z"), rows.into_iter()).into_string();
        let day = |day: &str, units: u32| format!(">{day}</th><td class=\"num\">{units}</td>");
        let shown = [("2026-11-29", 7), ("2026-11-30", 0), ("2026-12-01", 3)];
        let places: Vec<_> = shown.iter().map(|(name, units)| html.find(&day(name, *units))).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}: {html}");
    }
}
