//! The latest charges are found backwards, each once, with what was changed about them.

use std::fs;
use std::sync::Arc;

use super::super::format::tests::record;
use super::super::{Disk, Header, LedgerId};
use super::*;
use crate::domain::period::Period;

const ID: LedgerId = LedgerId([1; 16]);

/// Segments by the customers of their records, numbered on; the second one begins with a correction of record 3.
fn survey(second_from: u64) -> (tempfile::TempDir, Survey) {
    let folder = tempfile::tempdir().expect("a folder");
    let header = |segment, first_record| Header { ledger: ID, segment, first_record, made_at_micros: 0 };
    let mut first = header(1, 1).encode();
    (1..=6_u32).for_each(|number| record(1 + (number + 1) % 2, 1).encode(number.into(), &mut first));
    let mut second = header(2, second_from).encode();
    let mut corrected = record(1, 1);
    corrected.number = 3;
    corrected.correction(9, Period { start: 0, end: 1 }).encode(7, &mut second);
    record(1, 1).encode(8, &mut second);
    for (segment, bytes) in [(1, first), (2, second)] {
        fs::write(folder.path().join(format!("{segment:016}.seg")), bytes).expect("writes");
    }
    let disk = Disk::open_read_only(folder.path()).expect("a folder");
    let survey = Survey::new(Arc::new(disk), ID).expect("surveys");
    (folder, survey)
}

fn numbers(latest: &Latest) -> Vec<(u64, usize)> {
    latest.charges.iter().map(|charged| (charged.record.number, charged.corrections.len())).collect()
}

#[test]
fn the_latest_come_first_and_corrections_stand_beside_what_they_correct() {
    let (_folder, survey) = survey(7);
    let all = survey.latest(1, 10, u64::MAX).expect("reads");
    assert_eq!((numbers(&all), all.complete), (vec![(8, 0), (5, 0), (3, 1), (1, 0)], true));
    let two = survey.latest(1, 2, u64::MAX).expect("reads");
    assert_eq!((numbers(&two), two.complete), (vec![(8, 0), (5, 0)], false));
    let others = survey.latest(2, 3, u64::MAX).expect("reads");
    assert_eq!((numbers(&others), others.complete), (vec![(6, 0), (4, 0), (2, 0)], true));
    assert_eq!(survey.latest(3, 10, u64::MAX).expect("reads").charges, []);
}

#[test]
fn no_more_is_read_than_allowed_but_for_the_last_segment() {
    let (_folder, survey) = survey(7);
    let last = survey.latest(1, 10, 1).expect("reads");
    assert_eq!((numbers(&last), last.complete), (vec![(8, 0)], false));
}

#[test]
fn what_stands_again_in_a_later_segment_is_shown_once() {
    let (_folder, survey) = survey(5);
    let all = survey.latest(1, 10, u64::MAX).expect("reads");
    assert_eq!(
        numbers(&all),
        [(8, 0), (3, 1), (1, 0)],
        "5 and 6 are those of the second segment, which lost them"
    );
}
