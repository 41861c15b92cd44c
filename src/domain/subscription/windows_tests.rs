//! How windows follow each other: a table of the calendar's corners, and what holds for all of them.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::period::rfc3339;

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("an instant").as_second()
}

fn periods(start: &str, end: &str, anchor: &str, interval: Interval) -> Windows {
    Windows::Periods { current: Period { start: at(start), end: at(end) }, anchor: at(anchor), interval }
}

#[test]
fn windows_at_the_corners_of_the_calendar() {
    let month = Interval::Months(1);
    let on_the_31st = periods("2027-12-31T10:00:00Z", "2028-01-31T10:00:00Z", "2026-08-31T10:00:00Z", month);
    let yearly = Windows::Monthly { anchor: at("2024-02-29T12:00:00Z") };
    let weekly =
        periods("2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z", "2026-11-02T00:00:00Z", Interval::Days(7));
    // The anchor was moved: the period that Stripe tells of is shorter than the interval.
    let moved = periods("2026-11-10T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", month);
    let table = [
        // Stripe's own period, then the anchor's day again, clamped to a leap February, and back to the 31st.
        (on_the_31st, "2028-01-31T09:59:59Z", "2027-12-31T10:00:00Z", "2028-01-31T10:00:00Z"),
        (on_the_31st, "2028-01-31T10:00:00Z", "2028-01-31T10:00:00Z", "2028-02-29T10:00:00Z"),
        (on_the_31st, "2028-02-29T10:00:00Z", "2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z"),
        (on_the_31st, "2028-04-30T10:00:00Z", "2028-04-30T10:00:00Z", "2028-05-31T10:00:00Z"),
        // A yearly plan from a leap day has monthly windows.
        (yearly, "2025-02-28T12:00:00Z", "2025-02-28T12:00:00Z", "2025-03-29T12:00:00Z"),
        (yearly, "2025-03-29T11:59:59Z", "2025-02-28T12:00:00Z", "2025-03-29T12:00:00Z"),
        (yearly, "2028-02-29T12:00:00Z", "2028-02-29T12:00:00Z", "2028-03-29T12:00:00Z"),
        // Those without a subscription have the months of the calendar, in UTC.
        (Windows::CalendarMonth, "2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        (Windows::CalendarMonth, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (weekly, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        (moved, "2026-11-15T00:00:00Z", "2026-11-10T00:00:00Z", "2026-11-20T00:00:00Z"),
        (moved, "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", "2026-12-20T00:00:00Z"),
        // A clock that was set back finds the window that Stripe told of.
        (moved, "2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z", "2026-11-20T00:00:00Z"),
    ];
    for (windows, now, start, end) in table {
        let found = windows.at(at(now));
        assert_eq!(
            (rfc3339(found.start).as_str(), rfc3339(found.end).as_str()),
            (start, end),
            "{windows:?} at {now}"
        );
    }
}

fn windows() -> impl Strategy<Value = Windows> {
    let interval = prop_oneof![(1u32..40).prop_map(Interval::Days), (1u32..14).prop_map(Interval::Months)];
    let told = (1_600_000_000i64..1_900_000_000, 1i64..3_000_000, -90_000_000i64..90_000_000, interval);
    prop_oneof![
        Just(Windows::CalendarMonth),
        (1_500_000_000i64..1_900_000_000).prop_map(|anchor| Windows::Monthly { anchor }),
        told.prop_map(|(start, length, offset, interval)| Windows::Periods {
            current: Period { start, end: start + length },
            anchor: start + offset,
            interval,
        }),
    ]
}

proptest! {
    #[test]
    fn windows_follow_each_other_without_gap_or_overlap(windows in windows(), from in 1_600_000_000i64..1_900_000_000) {
        let mut window = windows.at(from);
        // Before the period that Stripe told of there is none: that one is in force.
        let told = match windows {
            Windows::Periods { current, .. } => current.start,
            _ => i64::MIN,
        };
        prop_assert!(window.contains(from.max(told)));
        for _ in 0..30 {
            prop_assert!(window.start < window.end);
            prop_assert_eq!(windows.at(window.end - 1), window, "one window to its last second");
            let next = windows.at(window.end);
            prop_assert_eq!(next.start, window.end);
            window = next;
        }
    }
}
