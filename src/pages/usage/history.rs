//! Usage by day and by route.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::answers::{List, Row, Status};
use super::overview::Shown;
use crate::clock;
use crate::domain::period::{parse_instant, rfc3339};
use crate::pages::parts::chart::{Chart, Kind, chart};
use crate::pages::parts::layout::{note, sentence};
use crate::pages::parts::words::{number, words};
use crate::problem::Problem;

const DAY_SECONDS: usize = 86_400;
/// More bars than anybody reads; a period has 31.
const MOST_DAYS: usize = 400;

pub(super) fn panels(status: &Status, shown: &Shown) -> Markup {
    html! {
        section.panel aria-labelledby="days" {
            h2 id="days" { "By day" }
            (told(&shown.days, |list| by_day(status, list)))
        }
        section.panel aria-labelledby="routes" {
            h2 id="routes" { "By route" }
            (told(&shown.routes, by_route))
            p.small.quiet { "Whole days: also what was used earlier on the day on which this period began." }
        }
    }
}

/// What was asked for, or why it is not there; and who of a fleet did not tell theirs.
fn told(list: &Result<List<Row>, Problem>, show: impl Fn(&List<Row>) -> Markup) -> Markup {
    match list {
        Ok(list) => html! {
            @if !list.nodes_missing.is_empty() {
                (note("info", "Some of our servers did not answer: these numbers are not complete yet."))
            }
            (show(list))
        },
        Err(problem) => note("bad", &sentence(&problem.detail)),
    }
}

fn by_day(status: &Status, list: &List<Row>) -> Markup {
    let days = days(&status.period.start, &status.period.end, clock::now().seconds());
    let mut meters: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for row in &list.data {
        *meters.entry(&row.meter).or_default().entry(&row.day).or_default() += row.units;
    }
    html! {
        @if meters.is_empty() { p.empty { "Nothing is recorded in this period yet." } }
        @for (meter, units) in meters {
            @let points: Vec<_> = days.iter().map(|day| {
                (day.clone(), units.get(day.as_str()).copied().unwrap_or(0))
            }).collect();
            (chart(&Chart {
                title: &format!("{}, by day", words(meter)),
                of: ("Day", "Units"),
                points: &points,
                kind: Kind::Bars,
            }))
        }
    }
}

/// The period's days up to today.
fn days(start: &str, end: &str, now: i64) -> Vec<String> {
    let seconds = |instant| parse_instant(instant).map(|micros| micros.div_euclid(1_000_000));
    let (Some(start), Some(end)) = (seconds(start), seconds(end)) else { return Vec::new() };
    let first = start - start.rem_euclid(86_400);
    (first..end.min(now + 1))
        .step_by(DAY_SECONDS)
        .take(MOST_DAYS)
        .map(|at| rfc3339(at)[..10].to_owned())
        .collect()
}

fn by_route(list: &List<Row>) -> Markup {
    let most = list.data.iter().map(|row| row.units).max().unwrap_or(0).max(1);
    html! {
        @if list.data.is_empty() {
            p.empty { "Nothing is recorded in this period yet." }
        } @else {
            div.scroll tabindex="0" role="group" aria-label="Usage by route" {
                table {
                    caption.off { "Usage by route in this period" }
                    thead {
                        tr {
                            th scope="col" { "Route" }
                            th scope="col" { "Meter" }
                            th.num scope="col" { "Requests" }
                            th.num scope="col" { "Units" }
                        }
                    }
                    tbody {
                        @for row in &list.data {
                            tr {
                                th scope="row" {
                                    code { (row.day) }
                                    meter.thin min="0" max=(most) value=(row.units.max(0)) aria-hidden="true" {}
                                }
                                td { (words(&row.meter)) }
                                td.num { (number(row.requests)) }
                                td.num { (number(row.units)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_shown_up_to_today() {
        let (start, end) = ("2026-11-29T13:00:00Z", "2026-12-02T13:00:00Z");
        let at = |now: &str| days(start, end, parse_instant(now).expect("an instant") / 1_000_000);
        assert_eq!(at("2026-11-29T14:00:00Z"), ["2026-11-29"]);
        assert_eq!(at("2026-12-01T00:00:00Z"), ["2026-11-29", "2026-11-30", "2026-12-01"]);
        assert_eq!(at("2027-01-01T00:00:00Z").last().map(String::as_str), Some("2026-12-02"));
        assert!(days("soon", end, 0).is_empty());
    }
}
