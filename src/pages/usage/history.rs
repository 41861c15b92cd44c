//! Usage by day and by route.

use maud::{Markup, html};

use super::answers::{List, Row, Status};
use super::overview::Shown;
use crate::clock;
use crate::pages::parts::days;
use crate::pages::parts::layout::{note, sentence};
use crate::pages::parts::words::{number, words};
use crate::problem::Problem;

pub(super) fn panels(status: &Status, shown: &Shown) -> Markup {
    html! {
        section.panel aria-labelledby="days" {
            h2 id="days" { "By day" }
            (told(&shown.days, |list| by_day(status, list)))
        }
        section.panel aria-labelledby="routes" {
            h2 id="routes" { "By route" }
            (told(&shown.routes, by_route))
            p.small.quiet {
                "By day and by route whole hours are counted: also what was used earlier in the hour in which this \
                 period began. What was used in the last moments may not be there yet."
            }
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
    if list.data.is_empty() {
        return nothing_yet();
    }
    let rows = list.data.iter().map(|row| (row.day.as_str(), row.meter.as_str(), row.units));
    days::by_day((&status.period.start, &status.period.end), clock::now().seconds(), rows)
}

fn nothing_yet() -> Markup {
    html! { p.empty { "Nothing is recorded in this period yet." } }
}

fn by_route(list: &List<Row>) -> Markup {
    let most = list.data.iter().map(|row| row.units).max().unwrap_or(0).max(1);
    html! {
        @if list.data.is_empty() {
            (nothing_yet())
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
