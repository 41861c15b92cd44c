//! Numbers by day as bars: SVG made here, with the same numbers as a table below it.
//!
//! plotters writes colours as attributes; the stylesheet knows them by these very values and puts the theme's in their
//! place, so that one picture serves light and dark.

use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;

/// What the stylesheet replaces.
const GRID: RGBColor = RGBColor(0xE1, 0xE1, 0xE1);
const TEXT: RGBColor = RGBColor(0x66, 0x66, 0x66);
const DATA: RGBColor = RGBColor(0x0F, 0x76, 0x6E);

const SIZE: (u32, u32) = (760, 220);
const MOST_LABELS: usize = 12;
/// A period's first days do not fill the picture: their bars are as wide as those of two weeks.
const LEAST_SLOTS: i32 = 14;

/// One series of numbers.
pub struct Chart<'a> {
    pub title: &'a str,
    /// What the points are named by, and what is counted: the heads of the table.
    pub of: (&'a str, &'a str),
    /// In their order. A day's name `2026-11-20` stands below its bar as `11-20`.
    pub points: &'a [(String, i64)],
}

/// The picture and its table; of nothing, a sentence.
pub fn chart(chart: &Chart<'_>) -> Markup {
    let (first, second) = chart.of;
    html! {
        figure.chart {
            figcaption { (chart.title) }
            @if chart.points.is_empty() {
                p.empty { "Nothing to show yet." }
            } @else {
                div.scroll tabindex="0" role="group" aria-label=(chart.title) { (picture(chart)) }
                details {
                    summary { "The same as a table" }
                    div.scroll tabindex="0" role="group" aria-label={ (chart.title) ", as a table" } {
                        table {
                            caption.off { (chart.title) }
                            thead { tr { th scope="col" { (first) } th.num scope="col" { (second) } } }
                            tbody {
                                @for (name, number) in chart.points {
                                    tr { th scope="row" { (name) } td.num { (super::words::number(*number)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn picture(chart: &Chart<'_>) -> Markup {
    let mut svg = String::new();
    // Drawing into memory has nothing to fail of but a range that is empty, and `top` sees to it that none is.
    if let Err(error) = draw(chart, &mut svg) {
        tracing::error!(%error, "a chart could not be drawn");
        return html! { p.empty { "This chart could not be drawn; the table has its numbers." } };
    }
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let (width, height) = SIZE;
    let total: i64 = chart.points.iter().fold(0, |sum, (_, number)| sum.saturating_add(*number));
    let (from, to) = (chart.points.first(), chart.points.last());
    let span = from.zip(to).map(|((from, _), (to, _))| format!("{from} to {to}")).unwrap_or_default();
    let title = html! {
        title { (chart.title) ", " (span) ": " (super::words::number(total)) " " (chart.of.1) " in all" }
    };
    // What plotters writes is escaped by it.
    html! {
        svg viewBox={ "0 0 " (width) " " (height) } role="img" xmlns="http://www.w3.org/2000/svg" {
            (title) (PreEscaped(body.trim_end().trim_end_matches("</svg>")))
        }
    }
}

fn draw(chart: &Chart<'_>, svg: &mut String) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let (points, days) = (chart.points, i32::try_from(chart.points.len()).unwrap_or(i32::MAX));
    let slots = days.max(LEAST_SLOTS);
    let (least, most) = top(points);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut context = ChartBuilder::on(&area)
        .margin_top(12)
        .margin_right(8)
        .x_label_area_size(26)
        .y_label_area_size(56)
        .build_cartesian_2d((0..slots - 1).into_segmented(), least..most)?;
    let name = |at: &SegmentValue<i32>| match at {
        SegmentValue::CenterOf(at) | SegmentValue::Exact(at) => usize::try_from(*at)
            .ok()
            .and_then(|at| points.get(at))
            .map_or("", |(name, _)| short(name))
            .to_owned(),
        SegmentValue::Last => String::new(),
    };
    let style = ("sans-serif", 12).into_font().color(&TEXT);
    context
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(style)
        .x_labels(usize::try_from(slots).unwrap_or(MOST_LABELS).min(MOST_LABELS))
        .x_label_formatter(&name)
        .y_labels(5)
        .y_label_formatter(&|number| super::words::brief(*number))
        .draw()?;
    context.draw_series((0..days).zip(points).map(|(at, (_, number))| {
        let corners = [(SegmentValue::Exact(at), 0), (SegmentValue::Exact(at + 1), drawable(*number))];
        let mut bar = Rectangle::new(corners, DATA.filled());
        bar.set_margin(0, 0, 2, 2);
        bar
    }))?;
    area.present()
}

/// From nothing, or below where corrections exceed the charges, to a little above the greatest.
fn top(points: &[(String, i64)]) -> (i64, i64) {
    let numbers = || points.iter().map(|(_, number)| drawable(*number));
    let (least, most) = (numbers().min().unwrap_or(0).min(0), numbers().max().unwrap_or(0).max(0));
    (least, most.saturating_add(most / 10).max(least.saturating_add(4)))
}

/// Beyond it a picture tells nothing, and scales cannot be reckoned with; the table has the number.
fn drawable(number: i64) -> i64 {
    const MOST: i64 = 1_000_000_000_000_000;
    number.clamp(-MOST, MOST)
}

/// A day without its year.
fn short(name: &str) -> &str {
    let is_day = name.len() == 10 && name.is_ascii() && name.as_bytes()[4] == b'-';
    if is_day { &name[5..] } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: &[(&str, i64)]) -> String {
        let points: Vec<_> = points.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        chart(&Chart { title: "Units <b>", of: ("Day", "units"), points: &points }).into_string()
    }

    #[test]
    fn a_chart_is_a_picture_with_a_name_and_a_table_of_the_same_numbers() {
        let html = drawn(&[("2026-11-19", 1_200), ("2026-11-20", 34)]);
        assert_eq!(html.matches("#0F766E").count(), 2, "a bar a day: {html}");
        assert!(
            html.contains("role=\"img\"")
                && html.contains("<title>Units &lt;b&gt;, 2026-11-19 to 2026-11-20: ")
        );
        assert!(html.contains("1,234 units in all") && html.contains(">1,200</td>"), "{html}");
        assert!(html.contains("11-19"), "{html}");
    }

    #[test]
    fn no_picture_has_a_style_or_a_script_of_its_own_and_names_are_escaped() {
        let html = drawn(&[("<script>alert(1)</script>", 1), ("\" style=\"x", 2)]);
        for forbidden in ["<script", "<b>", " style=\"", "onload"] {
            assert!(!html.contains(forbidden), "{forbidden} in {html}");
        }
    }

    #[test]
    fn any_numbers_can_be_drawn() {
        for numbers in [&[][..], &[0], &[-5], &[i64::MAX, i64::MIN], &[3, -1, 2], &[1; 400]] {
            let points: Vec<_> = numbers.iter().map(|number| ("2026-11-20", *number)).collect();
            assert_eq!(drawn(&points).contains("<svg"), !numbers.is_empty(), "{numbers:?}");
        }
    }
}
