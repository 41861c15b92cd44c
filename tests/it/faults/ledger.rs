//! The promises of the ledger, tested by breaking its disk.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tollgate::ledger::{Durability, Ledger, LedgerId, OpenError, Options, Position, Resume, Storage};

use super::disk::{FaultyDisk, Operation};
use super::{LEDGER, record};
use crate::harness::Dice;

fn open_with(disk: &FaultyDisk, resume: Resume, durability: Durability) -> Result<Ledger, OpenError> {
    let options = Options { durability, sync_interval: Duration::from_millis(1), segment_bytes: 2_000 };
    Ledger::open(Arc::new(disk.clone()), LEDGER, resume, options, 0)
}

fn open(disk: &FaultyDisk) -> Ledger {
    open_with(disk, Resume::default(), Durability::Process).expect("opens")
}

/// Waits until everything appended is durable, and reads it all.
fn settled(ledger: &Ledger) -> Vec<u32> {
    let target = ledger.request_sync();
    let mut synced = ledger.synced();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let end = runtime
        .block_on(async { synced.wait_for(|s| s.next_record >= target).await.expect("open").position });
    read(ledger, end)
}

fn read(ledger: &Ledger, end: Position) -> Vec<u32> {
    let mut reader = ledger.reader(Resume::default());
    let mut customers = Vec::new();
    let mut expected = 1;
    while !reader
        .read(end, |record| {
            assert_eq!(record.number, expected, "numbers are given once and in order");
            expected += 1;
            customers.push(record.customer);
        })
        .expect("reads")
    {}
    customers
}

fn wait_until_available(ledger: &Ledger) {
    while !ledger.is_available() {
        std::thread::yield_now();
    }
}

#[test]
fn records_come_back_in_order_across_rolled_segments() {
    let disk = FaultyDisk::default();
    let ledger = open(&disk);
    let mut expected = Vec::new();
    while disk.list().expect("list").len() < 4 {
        let customer = u32::try_from(expected.len()).expect("few");
        ledger.append(&record(customer, 1)).expect("appends");
        expected.push(customer);
    }
    assert_eq!(settled(&ledger), expected);
}

#[test]
fn a_restart_goes_on_in_a_new_segment_with_the_next_number() {
    let disk = FaultyDisk::default();
    for run in 0..3 {
        let ledger = open(&disk);
        ledger.append(&record(run, 1)).expect("appends");
        assert_eq!(settled(&ledger), (0..=run).collect::<Vec<_>>());
    }
}

#[test]
fn a_failed_write_refuses_and_leaves_nothing_of_its_record() {
    let disk = FaultyDisk::default();
    let ledger = open(&disk);
    ledger.append(&record(1, 1)).expect("appends");
    disk.fail_all(Operation::Write);
    ledger.append(&record(2, 1)).expect_err("the disk is full");
    assert!(!ledger.is_available());
    ledger.append(&record(3, 1)).expect_err("still");
    ledger.correct(record(4, -1));
    disk.heal();
    wait_until_available(&ledger);
    ledger.append(&record(5, 1)).expect("the disk is back");
    assert_eq!(settled(&ledger), [1, 4, 5]);
}

#[test]
fn a_correction_that_comes_during_the_repair_is_written_with_it() {
    let disk = FaultyDisk::default();
    let ledger = Arc::new(open(&disk));
    ledger.append(&record(1, 1)).expect("appends");
    settled(&ledger);
    disk.fail_all(Operation::Sync);
    ledger.append(&record(2, 1)).expect("a write still works");
    ledger.request_sync();
    while ledger.is_available() {
        std::thread::yield_now();
    }
    let corrects = ledger.clone();
    let meanwhile = move || assert!(corrects.correct(record(3, -1)).is_none(), "it has to wait");
    // The repair syncs the tail, and then the header that makes it count.
    let made = disk.clone();
    disk.in_sync(move || made.in_sync(meanwhile));
    disk.heal();
    wait_until_available(&ledger);
    let synced = ledger.synced().borrow().position;
    assert_eq!(read(&ledger, synced), [1, 2, 3], "told together");
}

#[test]
fn after_a_failed_sync_what_was_written_is_written_again() {
    let disk = FaultyDisk::default();
    let ledger = open(&disk);
    ledger.append(&record(1, 1)).expect("appends");
    assert_eq!(settled(&ledger), [1]);
    disk.fail_all(Operation::Sync);
    ledger.append(&record(2, 1)).expect("a write still works");
    ledger.request_sync();
    while ledger.is_available() {
        std::thread::yield_now();
    }
    disk.heal();
    wait_until_available(&ledger);
    let synced = ledger.synced().borrow().position;
    assert_eq!(read(&ledger, synced), [1, 2]);
    drop(ledger);
    let disk = disk.after_power_loss(&mut Dice::new("after a failed sync"));
    assert_eq!(settled(&open(&disk)), [1, 2]);
}

#[tokio::test]
async fn in_power_mode_a_durable_record_survives_the_loss_of_power() {
    let disk = FaultyDisk::default();
    let ledger = open_with(&disk, Resume::default(), Durability::Power).expect("opens");
    let mut dice = Dice::new("in power mode");
    for customer in 1..=5 {
        let appended = ledger.append(&record(customer, 1)).expect("appends");
        ledger.durable(appended).await.expect("syncs");
        let copy = disk.after_power_loss(&mut dice);
        let survived = open(&copy);
        let end = survived.synced().borrow().position;
        assert_eq!(read(&survived, end), (1..=customer).collect::<Vec<_>>());
    }
}

#[test]
fn damage_before_the_folded_position_stops_the_start_and_is_named() {
    let disk = FaultyDisk::default();
    let ledger = open(&disk);
    for customer in 0..3 {
        ledger.append(&record(customer, 1)).expect("appends");
    }
    settled(&ledger);
    let synced = *ledger.synced().borrow();
    drop(ledger);
    let resume = Resume { folded: synced.position, next_record: synced.next_record };
    disk.change(1, |bytes| bytes[128 + 130] ^= 1);
    match open_with(&disk, resume, Durability::Process) {
        Err(OpenError::Damaged { segment: 1, offset: 248 }) => {}
        other => panic!("{:?}", other.err()),
    }
    let (first, found) = (Resume::default(), Arc::new(Mutex::new(Vec::new())));
    let ledger =
        open_with(&disk, first, Durability::Process).expect("nothing was folded: a hole is kept and logged");
    let end = ledger.synced().borrow().position;
    let mut reader = ledger.reader(first);
    while !reader.read(end, |record| found.lock().expect("lock").push(record.customer)).expect("reads") {}
    assert_eq!(*found.lock().expect("lock"), [0, 2]);
}

#[test]
fn a_ledger_that_ends_before_what_was_folded_stops_the_start() {
    for kept in [0, 128, 128 + 120, 128 + 150] {
        let disk = FaultyDisk::default();
        let ledger = open(&disk);
        for customer in 0..3 {
            ledger.append(&record(customer, 1)).expect("appends");
        }
        settled(&ledger);
        let synced = *ledger.synced().borrow();
        drop(ledger);
        let resume = Resume { folded: synced.position, next_record: synced.next_record };
        disk.change(1, |bytes| bytes.truncate(kept));
        match open_with(&disk, resume, Durability::Process) {
            Err(OpenError::Damaged { segment: 1, .. }) => {}
            other => panic!("{kept}: {:?}", other.err()),
        }
    }
}

#[test]
fn a_segment_that_was_made_and_not_begun_is_no_damage() {
    let disk = FaultyDisk::default();
    let ledger = open(&disk);
    ledger.append(&record(1, 1)).expect("appends");
    settled(&ledger);
    drop(ledger);
    let mut resume = Resume::default();
    for customer in 2..5 {
        let empty = disk.list().expect("list").last().expect("one") + 1;
        disk.create(empty).expect("as a kill leaves it");
        let ledger = open_with(&disk, resume, Durability::Process).expect("opens");
        ledger.append(&record(customer, 1)).expect("appends");
        assert_eq!(settled(&ledger), (1..=customer).collect::<Vec<_>>());
        let synced = *ledger.synced().borrow();
        resume = Resume { folded: synced.position, next_record: synced.next_record };
    }
    assert!(disk.list().expect("list").len() > 6);
    let ledger = open_with(&disk, resume, Durability::Process).expect("opens");
    assert!(ledger.prune(1, resume.folded).expect("prunes") > 3, "such a segment holds up no other");
}

#[test]
fn a_missing_and_a_foreign_segment_stop_the_start() {
    let disk = FaultyDisk::default();
    let ledger = open(&disk);
    ledger.append(&record(1, 1)).expect("appends");
    settled(&ledger);
    let synced = *ledger.synced().borrow();
    let resume = Resume { folded: synced.position, next_record: synced.next_record };
    drop(ledger);
    let other = Ledger::open(
        Arc::new(disk.clone()),
        LedgerId([1; 16]),
        resume,
        Options {
            durability: Durability::Process,
            sync_interval: Duration::from_millis(1),
            segment_bytes: 2_000,
        },
        0,
    );
    assert!(matches!(other, Err(OpenError::Foreign { segment: 1 })));
    disk.remove(1).expect("removes");
    assert!(matches!(open_with(&disk, resume, Durability::Process), Err(OpenError::Missing { segment: 1 })));
}

#[test]
fn segments_go_after_their_time_and_never_before_they_are_folded() {
    let disk = FaultyDisk::default();
    for _ in 0..3 {
        drop(open(&disk));
    }
    let ledger = open(&disk);
    let folded = Position { segment: 3, offset: 128 };
    assert_eq!(ledger.prune(-1, folded).expect("prunes"), 0);
    assert_eq!(ledger.prune(1, folded).expect("prunes"), 2);
    assert_eq!(disk.list().expect("list"), [3, 4]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Random appends, failures, restarts and torn ends against a list.
    #[test]
    fn what_was_acknowledged_is_read_back(actions in prop::collection::vec(0u8..12, 1..60), cut in 1usize..90) {
        let disk = FaultyDisk::default();
        let mut ledger = open(&disk);
        let mut expected = Vec::new();
        for (customer, action) in (0u32..).zip(actions) {
            match action {
                0 => { drop(ledger); ledger = open(&disk); }
                1 => {
                    disk.fail_all(Operation::Write);
                    prop_assert!(ledger.append(&record(customer, 1)).is_err());
                    disk.heal();
                    wait_until_available(&ledger);
                }
                2 => {
                    // A torn write at the end, as a kill in the middle of it leaves it.
                    drop(ledger);
                    let last = *disk.list().expect("list").last().expect("one");
                    let mut torn = Vec::new();
                    record(customer, 1).encode(u64::from(customer), &mut torn);
                    disk.change(last, |bytes| bytes.extend_from_slice(&torn[..cut]));
                    ledger = open(&disk);
                }
                _ => { ledger.append(&record(customer, 1)).expect("appends"); expected.push(customer); }
            }
        }
        prop_assert_eq!(settled(&ledger), expected);
    }
}

#[test]
fn a_segment_that_failed_in_its_first_sync_is_no_damage_whatever_is_left_of_its_header() {
    let lefts: [fn(&mut Vec<u8>); 3] = [|_| {}, |bytes| bytes.fill(0), |bytes| bytes.truncate(107)];
    for left in lefts {
        let disk = FaultyDisk::default();
        let ledger = super::writer::open(&disk, Resume::default(), Durability::Process).expect("opens");
        // One sync, and then a roll, which syncs the finished segment and the new one.
        disk.fail_nth(Operation::Sync, 3);
        for customer in 0..17 {
            ledger.append(&record(customer, 1)).expect("appends");
        }
        ledger.request_sync();
        while !disk.all_struck() {
            std::thread::yield_now();
        }
        while ledger.append(&record(17, 1)).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(settled(&ledger), (0..=17).collect::<Vec<_>>());
        let synced = *ledger.synced().borrow();
        drop(ledger);
        disk.change(2, left);
        let resume = Resume { folded: synced.position, next_record: synced.next_record };
        let ledger = open_with(&disk, resume, Durability::Process).expect("all its records stand again");
        assert_eq!(settled(&ledger), (0..=17).collect::<Vec<_>>());
    }
}
