use proptest::prelude::*;

use super::*;
use crate::store::Holdings;

fn minute(at: i64, ledger: i64, dead: i64, periods: (i64, i64)) -> MinuteHoldings {
    MinuteHoldings { start: at * 60, holdings: Holdings { ledger, dead, ..Holdings::default() }, periods }
}

/// What halving finds when Stripe holds `stripe` by minute; none when there is too much somewhere.
fn found(minutes: &[MinuteHoldings], stripe: &[i64]) -> (Option<Vec<(i64, i64)>>, usize) {
    let reads = std::cell::Cell::new(0);
    let read = |span: Period| -> i64 {
        reads.set(reads.get() + 1);
        let within = stripe.iter().zip(0_i64..).filter(|(_, at)| span.contains(at * 60));
        within.map(|(units, _)| units).sum()
    };
    let span = Period { start: 0, end: 60 * i64::try_from(stripe.len()).expect("few") };
    let mut missing = Vec::new();
    let mut parts = vec![Part { minutes, span, stripe: read(span) }];
    while let Some(part) = parts.pop() {
        match part.finding() {
            Finding::Whole => {}
            Finding::TooMuch => return (None, reads.get()),
            Finding::Missing(units) => missing.push((part.minutes[0].start / 60, units)),
            Finding::Halve(at) => parts.extend(part.halves(at, read(part.first_span(at)))),
        }
    }
    missing.sort_unstable();
    (Some(missing), reads.get())
}

proptest! {
    #[test]
    fn every_missing_unit_is_found_in_its_minute(
        sums in proptest::collection::vec((0_i64..9, 0_i64..9), 1..200),
    ) {
        // What is sent and what of it is lost, by minute; minutes without rows are left out.
        let lost = |(sent, lost): &(i64, i64)| *lost.min(sent) * i64::from(lost % 3 == 0);
        let sent = sums.iter().zip(0_i64..).filter(|((sent, _), _)| *sent > 0);
        let minutes: Vec<_> = sent.map(|((sent, _), at)| minute(at, *sent, 0, (0, 0))).collect();
        let stripe: Vec<i64> = sums.iter().map(|sum| sum.0 - lost(sum)).collect();
        let expected: Vec<(i64, i64)> =
            sums.iter().zip(0_i64..).map(|(sum, at)| (at, lost(sum))).filter(|(_, lost)| *lost > 0).collect();
        if !minutes.is_empty() {
            prop_assert_eq!(found(&minutes, &stripe).0, Some(expected));
        }
    }
}

#[test]
fn one_missing_unit_in_a_month_of_minutes_takes_few_reads() {
    let minutes: Vec<_> = (0..40_000).map(|at| minute(at, 3, 0, (0, 0))).collect();
    let mut stripe = vec![3; 40_000];
    stripe[31_415] = 2;
    let (missing, reads) = found(&minutes, &stripe);
    assert_eq!(missing, Some(vec![(31_415, 1)]));
    assert!(reads <= 17, "{reads}");
}

#[test]
fn too_much_in_one_minute_stops_the_repair_of_another() {
    let minutes = [minute(0, 5, 0, (0, 0)), minute(2, 5, 0, (0, 0)), minute(5, 5, 0, (0, 0))];
    assert_eq!(found(&minutes, &[5, 0, 7, 0, 0, 0]).0, None);
    assert_eq!(found(&minutes, &[5, 3, 5, 0, 0, 0]).0, None, "a foreign event in a minute without rows");
}

#[test]
fn dead_units_are_not_missing() {
    let minutes = [minute(0, 5, 5, (0, 0)), minute(1, 9, 4, (0, 0))];
    assert_eq!(found(&minutes, &[0, 5]).0, Some(vec![]));
    assert_eq!(found(&minutes, &[0, 3]).0, Some(vec![(1, 2)]));
}

#[test]
fn periods_are_compared_one_by_one() {
    let span = Period { start: 0, end: 6_000 };
    let minutes = [
        minute(1, 1, 0, (0, 0)),
        minute(10, 1, 0, (0, 630)),
        minute(11, 1, 0, (630, 630)),
        // Another customer of the same Stripe customer, still in a period of its own.
        minute(12, 1, 0, (0, 0)),
        minute(50, 1, 0, (3_000, 3_000)),
    ];
    let groups: Vec<_> = by_period(&minutes, span)
        .iter()
        .map(|(minutes, span)| (minutes.len(), span.start, span.end))
        .collect();
    assert_eq!(groups, [(1, 0, 600), (3, 600, 3_000), (1, 3_000, 6_000)]);
    assert!(by_period(&[], span).is_empty());
}

#[test]
fn what_can_be_repaired_is_told_from_what_stripe_may_still_add_up() {
    let (now, settle) = (600, 120);
    let young = |at: i64| Some(Hindrance::Young(at * 60 + 60 + settle));
    let of = |at: i64| minute(at, 5, 0, (0, 0));
    assert_eq!(hindrance(&of(7), now, settle), None, "it ended when the time began");
    assert_eq!(hindrance(&of(8), now, settle), young(8));
    let with = |holdings: Holdings| MinuteHoldings { holdings: Holdings { ledger: 5, ..holdings }, ..of(1) };
    let heard_of = with(Holdings { accepted_at: Some(500), ..Holdings::default() });
    assert_eq!(hindrance(&heard_of, now, settle), Some(Hindrance::Young(620)));
    let pending = with(Holdings { pending: 1, ..Holdings::default() });
    assert_eq!(hindrance(&pending, now, settle), Some(Hindrance::Unanswered));
    assert_eq!(hindrance(&minute(1, 5, 0, (0, 90)), now, settle), Some(Hindrance::Edge));
    assert_eq!(hindrance(&of(1), 35 * 86_400, settle), Some(Hindrance::TooOld));

    // Five units that are free, and five that Stripe has just heard of.
    let minutes = [of(2), heard_of];
    assert_eq!(outlook(&minutes, 10, now, settle), Outlook::default());
    let unsure = Outlook { is_certain: false, is_possible: true, hindrances: vec![Hindrance::Young(620)] };
    assert_eq!(outlook(&minutes, 5, now, settle), unsure);
    assert!(outlook(&minutes, 4, now, settle).is_certain);
    let delay = Outlook { is_possible: false, ..unsure };
    assert_eq!(outlook(&minutes[1..], 0, now, settle), delay);
    assert_eq!(
        outlook(&[minute(2, 5, 5, (0, 0))], 0, now, settle),
        Outlook::default(),
        "dead units are told apart"
    );
}
