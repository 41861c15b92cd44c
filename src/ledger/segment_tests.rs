//! Records are found again behind holes, and wherever a piece ends.

use std::fs;

use super::super::format::LedgerId;
use super::super::format::tests::record;
use super::super::storage::Disk;
use super::*;

fn numbers(bytes: &[u8]) -> Vec<Result<u64, (u64, u64)>> {
    scan(bytes, 100)
        .map(|item| match item {
            Item::Record(record, _) => Ok(record.number),
            Item::Hole(from, to) => Err((from - 100, to - 100)),
        })
        .collect()
}

#[test]
fn records_behind_a_hole_are_found_again() {
    let mut bytes = Vec::new();
    for number in 1..=3 {
        record(1, 1).encode(number, &mut bytes);
    }
    let length = (bytes.len() / 3) as u64;
    assert_eq!(numbers(&bytes), [Ok(1), Ok(2), Ok(3)]);
    bytes[150] ^= 1;
    assert_eq!(numbers(&bytes), [Ok(1), Err((length, 2 * length)), Ok(3)]);
    bytes.truncate(bytes.len() - 1);
    assert_eq!(numbers(&bytes), [Ok(1), Err((length, 3 * length - 1))]);
}

const RECORD_BYTES: usize = 120;
const HEADER: usize = 128;
/// Some more than two pieces of records.
const RECORDS: usize = 2 * READ_AT_ONCE / RECORD_BYTES + 5_000;

/// Two segments: one of [`RECORDS`], changed by `change`, and an empty one behind it that begins with `second_from`.
fn folder(second_from: u64, change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, Arc<dyn Storage>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (segment, first_record) in [(1, 1), (2, second_from)] {
        let mut bytes =
            Header { ledger: LedgerId([1; 16]), segment, first_record, made_at_micros: 0 }.encode();
        if segment == 1 {
            (1..=RECORDS as u64).for_each(|number| record(1, 1).encode(number, &mut bytes));
        }
        fs::write(folder.path().join(format!("{segment:016}.seg")), bytes).expect("writes");
    }
    let first = folder.path().join("0000000000000001.seg");
    let mut bytes = fs::read(&first).expect("reads");
    assert_eq!(bytes.len(), HEADER + RECORDS * RECORD_BYTES);
    change(&mut bytes);
    fs::write(first, bytes).expect("writes");
    let disk = Disk::open(folder.path()).expect("a folder");
    (folder, Arc::new(disk))
}

/// All that is read, and the highest position within the first segment.
fn read(storage: Arc<dyn Storage>) -> (Vec<u64>, u64) {
    let mut reader = Reader::new(storage, Position::default(), 0);
    let (mut found, mut highest) = (Vec::new(), 0);
    let end = Position { segment: 2, offset: HEADER_BYTES };
    while !reader.read(end, |record| found.push(record.number)).expect("reads") {
        if reader.position().segment == 1 {
            highest = highest.max(reader.position().offset);
        }
    }
    assert_eq!(reader.position(), end);
    (found, highest)
}

#[test]
fn wherever_a_piece_ends_each_record_is_read_once() {
    let all: Vec<u64> = (1..=RECORDS as u64).collect();
    for shift in 0..3 {
        // The first record is longer by `shift`.
        let (_folder, storage) = folder(RECORDS as u64 + 1, |bytes| {
            let mut first = Vec::new();
            let foreign_request = (shift > 0).then(|| vec![7u8; shift * 50].into_boxed_slice());
            Record { foreign_request, ..record(1, 1) }.encode(1, &mut first);
            bytes.splice(HEADER..HEADER + RECORD_BYTES, first);
        });
        assert_eq!(read(storage).0, all, "shift {shift}");
    }
}

#[test]
fn records_behind_a_hole_that_ends_in_another_piece_are_found_again() {
    let border = (READ_AT_ONCE / RECORD_BYTES) * RECORD_BYTES;
    for hole in [border - 500..border + 500, border - 50_000..border + 90, 500..border * 2 - 77] {
        let (from, to) = (hole.start / RECORD_BYTES, (hole.end - 1) / RECORD_BYTES);
        let (_folder, storage) = folder(RECORDS as u64 + 1, |bytes| {
            bytes[HEADER + hole.start..HEADER + hole.end].fill(0xff);
        });
        let left = (0..RECORDS).filter(|at| !(from..=to).contains(at));
        assert_eq!(read(storage).0, left.map(|at| at as u64 + 1).collect::<Vec<_>>(), "{hole:?}");
    }
}

#[test]
fn the_position_is_never_in_what_a_later_segment_supersedes() {
    let kept = RECORDS / 4;
    let (_folder, storage) = folder(kept as u64 + 1, |_| {});
    let (found, highest) = read(storage);
    assert_eq!(found.len(), kept);
    assert_eq!(highest, (HEADER + kept * RECORD_BYTES) as u64);
}
