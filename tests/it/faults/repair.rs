//! Any single operation of the disk may fail, the room may end anywhere, and the process may be killed at any change:
//! what was accepted is there, what was refused is not.

use tollgate::ledger::{Durability, Kind, Ledger, Resume};

use super::disk::{FaultyDisk, Operation};
use super::writer::{Writer, charge, open, records};
use crate::harness::{Dice, setting};

const RECORDS: usize = 60;

/// Opens a ledger; a start that a fault spoilt is made again.
fn start(disk: &FaultyDisk) -> Writer {
    Writer::new(disk, Durability::Process).unwrap_or_else(|spoilt| {
        assert!(disk.all_struck(), "it did not start: {spoilt}");
        Writer::new(disk, Durability::Process).expect("the fault is over")
    })
}

fn assert_as_accepted(writer: &Writer) {
    writer.recover();
    writer.sync();
    assert_eq!(records(&writer.ledger), writer.accepted, "found (left) is not what was accepted (right)");
}

/// Writes with one failure ahead; false when the run was too short to meet it.
fn meets(operation: Operation, n: u64) -> bool {
    let disk = FaultyDisk::default();
    disk.fail_nth(operation, n);
    let mut writer = start(&disk);
    for at in 0..RECORDS {
        if writer.append().is_none() {
            writer.recover();
        }
        if at % 5 == 0 {
            writer.sync();
        }
    }
    let met = disk.all_struck();
    disk.heal();
    assert_as_accepted(&writer);
    let Writer { accepted, ledger, .. } = writer;
    drop(ledger);
    let again = open(&disk, Resume::default(), Durability::Process).expect("starts again");
    assert_eq!(records(&again), accepted, "after a restart");
    met
}

#[test]
fn whichever_operation_fails_once_the_accepted_records_are_there_and_no_refused_one() {
    use Operation::{Create, Sync, SyncFolder, Write};
    // It reads nothing while it runs: see `chain`.
    for operation in [Write, Sync, Create, SyncFolder] {
        let met = (1..u64::MAX).take_while(|n| meets(operation, *n)).count();
        eprintln!("{operation:?}: each of {met} failed once");
        assert!(met > 0, "{operation:?} never failed");
    }
}

#[test]
fn wherever_the_room_ends_the_accepted_records_are_there_and_writing_goes_on_when_there_is_room() {
    for room in (0..3_000).step_by(61) {
        let disk = FaultyDisk::default();
        let mut writer = start(&disk);
        disk.fill(room);
        while writer.append().is_some() {}
        assert!(!writer.ledger.is_available(), "it says so");
        assert!(writer.append().is_none(), "nothing is accepted without room");
        disk.heal();
        writer.recover();
        writer.append().expect("there is room");
        assert_as_accepted(&writer);
    }
}

/// A run with a failed sync, its repair and a correction meanwhile, killed at the n-th change; false when it ended
/// before.
fn killed_at(n: u64, dice: &mut Dice) -> bool {
    let disk = FaultyDisk::default();
    disk.kill_at_change(n);
    let Ok(mut writer) = Writer::new(&disk, Durability::Process) else {
        open(&disk.after_kill(), Resume::default(), Durability::Process)
            .expect("an unfinished start harms none");
        return true;
    };
    let mut corrected = None;
    for round in 0..4 {
        for _ in 0..=dice.below(9) {
            writer.append();
        }
        if round % 2 == 0 {
            disk.fail_nth(Operation::Sync, 1);
        }
        writer.ledger.request_sync();
        if round == 2 {
            corrected = correct(&writer.ledger);
        }
        writer.recover();
        writer.sync();
    }
    let Writer { mut accepted, ledger, .. } = writer;
    accepted.extend(corrected);
    drop(ledger);
    let found = open(&disk.after_kill(), Resume::default(), Durability::Process).expect("starts again");
    let found = records(&found);
    let missing: Vec<_> = accepted.iter().filter(|(number, _)| !found.contains_key(number)).collect();
    assert!(missing.is_empty(), "killed at change {n}: accepted, and lost: {missing:?}");
    disk.ended()
}

/// A correction of the first record: its number and customer, unless it has to wait.
fn correct(ledger: &Ledger) -> Option<(u64, u32)> {
    let correction = tollgate::ledger::Record { kind: Kind::Correction { of: 1 }, ..charge(u32::MAX, -1) };
    ledger.correct(correction).map(|appended| (appended.0, u32::MAX))
}

#[test]
fn a_kill_at_any_change_even_during_a_repair_loses_nothing_that_was_accepted() {
    let mut dice = Dice::new("killed at");
    for _ in 0..setting("TOLLGATE_TEST_ROUNDS", 3) {
        let kills = (1..u64::MAX).take_while(|n| killed_at(*n, &mut dice)).count();
        eprintln!("killed at each of {kills} changes");
        assert!(kills > 20, "a run has many changes");
    }
}
