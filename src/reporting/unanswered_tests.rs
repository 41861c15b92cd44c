use super::*;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

/// A row of 5 units, tried a day ago, read once a minute ago.
fn row(read: Option<i64>) -> OutboxRow {
    OutboxRow {
        sequence: 1,
        identifier: "tg-1".into(),
        stripe_customer: "cus_1".into(),
        event_name: "api_calls".into(),
        value: 5,
        timestamp: NOW - 25 * HOUR,
        tries: 9,
        answers: 0,
        first_tried_at: Some(NOW - 24 * HOUR),
        last_tried_at: Some(NOW - 2 * HOUR),
        rejected_at: None,
        compared: read.map(|units| Reading { units, at: NOW - 60 }),
        restored: false,
    }
}

fn held(held: i64, dead: i64) -> Holdings {
    Holdings { held, dead, ..Holdings::default() }
}

fn decided(read: Option<i64>, held: Holdings, old: i64, stripe: i64) -> &'static str {
    let waiting = Unanswered { old, young_rows: 0 };
    match decide(&row(read), &held, &waiting, Reading { units: stripe, at: NOW }) {
        Outcome::Compared { reading, at, .. } => {
            assert_eq!((reading.units, at), (stripe, NOW + 60));
            "read again"
        }
        Outcome::Resend { .. } => "resend",
        Outcome::Delivered { answer } => {
            assert_eq!(answer, "found in Stripe's sum");
            "arrived"
        }
        Outcome::Dead { reason, .. } => {
            assert!(reason.contains(&format!("{stripe} units")), "{reason}");
            assert!(reason.contains(&format!("{} are known", held.held)), "{reason}");
            "dead"
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_that_waits_has_arrived_or_nothing_or_a_person_decides() {
    // What was read before; delivered and dead; what waits, this row's 5 included; what Stripe holds.
    for (read, delivered, dead, old, stripe, expected) in [
        (None, 0, 0, 5, 0, "read again"),
        (Some(5), 0, 0, 5, 0, "read again"),
        (Some(0), 0, 0, 5, 0, "resend"),
        (Some(5), 0, 0, 5, 5, "arrived"),
        (Some(7), 7, 0, 5, 7, "resend"),
        (Some(12), 7, 0, 5, 12, "arrived"),
        (Some(11), 7, 0, 5, 11, "dead"),
        (Some(6), 7, 0, 5, 6, "dead"),
        (Some(13), 7, 0, 5, 13, "dead"),
        // Two rows, 5 and 3: both or none.
        (Some(7), 7, 0, 8, 7, "resend"),
        (Some(15), 7, 0, 8, 15, "arrived"),
        (Some(12), 7, 0, 8, 12, "dead"),
        (Some(10), 7, 0, 8, 10, "dead"),
        // A dead row may be what Stripe holds.
        (Some(7), 7, 5, 5, 7, "resend"),
        (Some(12), 7, 5, 5, 12, "dead"),
    ] {
        let case = format!("{read:?} {delivered} {dead} {old} {stripe}");
        assert_eq!(decided(read, held(delivered, dead), old, stripe), expected, "{case}");
    }
}

#[test]
fn the_sum_is_read_once_stripe_has_had_its_time() {
    let none = Unanswered::default();
    let at = |row: &OutboxRow, held: &Holdings, waiting: &Unanswered, settle| {
        not_before(row, held, waiting, settle, NOW).map(|at| at - NOW)
    };
    let old = row(None);
    assert_eq!(at(&old, &held(0, 0), &none, HOUR), None);
    assert_eq!(at(&old, &held(0, 0), &none, 3 * HOUR), Some(HOUR), "since the last try");
    let untold = OutboxRow { last_tried_at: None, ..row(None) };
    assert_eq!(
        at(&untold, &held(0, 0), &none, 25 * HOUR),
        Some(HOUR),
        "since the first, if that is all we know"
    );
    let early = OutboxRow { timestamp: NOW, ..row(None) };
    let minutes_end = minute_of(NOW).end - NOW;
    assert_eq!(at(&early, &held(0, 0), &none, HOUR), Some(minutes_end + HOUR), "since the minute's end");
    let accepted = Holdings { accepted_at: Some(NOW - 10), ..held(3, 0) };
    assert_eq!(at(&old, &accepted, &none, HOUR), Some(HOUR - 10), "since another row was accepted");
    let sending = Unanswered { old: 5, young_rows: 1 };
    assert_eq!(at(&old, &held(0, 0), &sending, 0), Some(LATER_SECONDS), "while another is being sent");
    let read = OutboxRow { compared: Some(Reading { units: 0, at: NOW - 59 }), ..row(None) };
    assert_eq!(at(&read, &held(0, 0), &none, 0), Some(1), "a minute after the first reading");
}
