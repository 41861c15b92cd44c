//! A ledger that is lent to another process, and given back.

use std::sync::Arc;
use std::time::Duration;

use super::super::format::tests::record;
use super::*;
use crate::ledger::Disk;

const ID: LedgerId = LedgerId([1; 16]);

fn options() -> Options {
    Options {
        durability: Durability::Process,
        sync_interval: Duration::from_hours(1),
        segment_bytes: HEADER_BYTES,
    }
}

fn open(folder: &std::path::Path, resume: Resume) -> Ledger {
    let disk = Disk::open(folder.to_owned()).expect("a folder");
    Ledger::open(Arc::new(disk), ID, resume, options(), 0).expect("opens")
}

/// The numbers of all records.
fn numbers(ledger: &Ledger) -> Vec<u64> {
    let mut reader =
        ledger.reader(Resume { folded: Position { segment: 1, offset: HEADER_BYTES }, next_record: 1 });
    let mut numbers = Vec::new();
    let end = ledger.synced().borrow().position;
    while !reader.read(end, |record| numbers.push(record.number)).expect("reads") {}
    numbers
}

#[tokio::test]
async fn what_was_written_is_on_disk_and_nothing_more_is_written_while_it_is_lent() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path(), Resume::default());
    for _ in 0..3 {
        ledger.append(&record(1, 1)).expect("it is open");
    }
    ledger.lend().await;
    assert_eq!(ledger.synced().borrow().next_record, 4);
    assert!(ledger.append(&record(1, 1)).is_err());
    assert!(ledger.is_available(), "requests wait, and are not refused");
    let segments = || std::fs::read_dir(folder.path()).expect("a folder").count();
    let before = segments();
    ledger.request_sync();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(segments(), before, "a full segment is not followed by another one here");
    let next = open(folder.path(), Resume { folded: ledger.synced().borrow().position, next_record: 4 });
    assert_eq!(next.append(&record(1, 1)).expect("it is open"), Appended(4));
}

#[tokio::test]
async fn what_is_given_back_goes_on_behind_what_the_other_one_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path(), Resume::default());
    ledger.append(&record(1, 1)).expect("it is open");
    for at in 0..3 {
        ledger.lend().await;
        let synced = *ledger.synced().borrow();
        let resume = Resume { folded: synced.position, next_record: synced.next_record };
        drop(open(folder.path(), resume));
        ledger.take_back().await;
        assert_eq!(ledger.append(&record(1, 1)).expect("it is open again"), Appended(at + 2));
    }
    ledger.lend().await;
    assert_eq!(numbers(&ledger), [1, 2, 3, 4]);
}
