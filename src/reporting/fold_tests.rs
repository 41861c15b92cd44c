//! Folding what a loss of power has left.

use std::fs;
use std::time::Duration;

use smallvec::smallvec;

use super::*;
use crate::domain::period::Period;
use crate::ledger::{Disk, Durability, LedgerId, Options};

const PERIOD: Period = Period { start: 1_798_761_600, end: 1_801_440_000 };
const RECORD_BYTES: usize = 120;

fn charge(units: i64) -> Record {
    Record {
        number: 0,
        at_micros: PERIOD.start * 1_000_000,
        request: [7; 16],
        customer: 1,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 1,
        configuration: 1,
        period: PERIOD,
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec![RecordDraw { meter: 1, included: units, ..RecordDraw::default() }],
        lots: Vec::new(),
        key: None,
        foreign_request: None,
    }
}

fn open(folder: &std::path::Path) -> Arc<Ledger> {
    let disk = Arc::new(Disk::open(folder.join("ledger")).expect("a folder"));
    let options = Options {
        durability: Durability::Process,
        sync_interval: Duration::from_millis(1),
        segment_bytes: 64 << 20,
    };
    Arc::new(Ledger::open(disk, LedgerId([1; 16]), Resume::default(), options, 0).expect("opens"))
}

#[tokio::test]
async fn a_correction_of_a_charge_that_power_took_takes_nothing_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path());
    ledger.append(&charge(5)).expect("appends");
    let lost = ledger.append(&charge(3)).expect("appends");
    let lost = Record { number: lost.0, ..charge(3) };
    ledger.append(&lost.correction(PERIOD.start * 1_000_000, PERIOD)).expect("appends");
    ledger.append(&charge(2)).expect("appends");
    drop(ledger);
    let segment = folder.path().join("ledger/0000000000000001.seg");
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[128 + RECORD_BYTES..128 + 2 * RECORD_BYTES].fill(0);
    fs::write(&segment, bytes).expect("writes");

    let store = Arc::new(Store::open(folder.path()).expect("opens"));
    let mut fold =
        Folder::new(open(folder.path()), store.clone(), Report::All, Resume::default(), Vec::new());
    fold.catch_up().expect("folds");
    assert_eq!(store.totals(1, PERIOD.start).await.expect("reads")[0].used, 7);
}

#[test]
fn a_truth_closes_its_estimate_and_counts_at_its_own_instant_what_it_adds() {
    let later = charge(0).at_micros + 5_000_000;
    for (units, last_at) in [(-2, charge(0).at_micros), (2, later)] {
        let mut batch = Batch::default();
        let estimate = Record { number: 7, kind: Kind::Estimate, key: Some([9; 16]), ..charge(3) };
        let truth = estimate.clone().correcting(charge(units).draws, Vec::new(), later, PERIOD);
        let reported: i64 =
            [&estimate, &truth].iter().map(|record| add(&mut batch, record, Report::All)[0].1).sum();
        let total = batch.totals.values().next().expect("one total");
        assert_eq!((reported, total.included, total.last_at_micros), (3 + units, 3 + units, last_at));
        assert_eq!((batch.estimates.len(), &*batch.corrected), (1, &[7][..]));
        let requests: i64 = batch.hours.values().map(|hour| hour.requests).sum();
        assert_eq!(requests, 1, "a truth is no request");
        assert_eq!(batch.keys.len(), 1, "its key stays charged");
    }
}

#[test]
fn what_counts_for_a_member_is_summed_with_its_corrections_and_nothing_else() {
    let mut batch = Batch::default();
    let counted = Record { number: 7, member: 3, counts_for_member: true, kind: Kind::Estimate, ..charge(5) };
    let truth = counted.clone().correcting(charge(-2).draws, Vec::new(), counted.at_micros, PERIOD);
    let uncovered = RecordDraw { meter: 1, uncovered: 4, ..RecordDraw::default() };
    let beyond = Record { draws: smallvec![uncovered], ..counted.clone() };
    let without_caps = Record { member: 3, ..charge(9) };
    for record in [&counted, &truth, &beyond, &without_caps] {
        add(&mut batch, record, Report::All);
    }
    let key = MemberKey { customer: 1, period_start: PERIOD.start, member: 3, meter: 1 };
    assert_eq!(batch.members.len(), 1);
    assert_eq!(batch.members[&key].units, 5 - 2 + 4, "whatever paid for them");
}

#[test]
fn what_was_served_in_shadow_is_seen_by_the_hour_and_counted_by_no_total() {
    let mut batch = Batch::default();
    let uncovered = |units| RecordDraw { meter: 1, uncovered: units, ..RecordDraw::default() };
    let draws = smallvec![uncovered(4)];
    let served = Record { number: 7, kind: Kind::Estimate, in_shadow: true, draws, ..charge(0) };
    let truth = served.clone().correcting(smallvec![uncovered(-1)], Vec::new(), served.at_micros, PERIOD);
    for record in [&served, &truth] {
        assert!(add(&mut batch, record, Report::All).is_empty());
    }
    assert!(batch.totals.is_empty() && batch.estimates.is_empty());
    let hours: Vec<_> = batch.hours.values().map(|hour| (hour.units, hour.requests)).collect();
    assert_eq!(hours, [(3, 1)]);
}
