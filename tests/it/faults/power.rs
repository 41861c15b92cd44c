//! The machine loses power in the n-th sync, for every n. What was under way lands in any order, or not at all.

use std::time::Duration;

use tollgate::ledger::{Appended, Durability, Resume};

use super::disk::{FaultyDisk, Operation};
use super::writer::{Writer, open, records};
use crate::harness::{Dice, setting};

const RECORDS: usize = 120;

/// What one loss of power did.
struct Loss {
    appended: usize,
    acknowledged: usize,
    survived: usize,
}

/// Appends until power is lost in the n-th sync; none when the run has no such sync.
async fn lose_power(durability: Durability, n: u64, dice: &mut Dice) -> Option<Loss> {
    let disk = FaultyDisk::default();
    disk.lose_power_in_sync(n);
    if dice.percent(30) {
        // A sync that failed before: its records are under way in two segments.
        disk.fail_nth(Operation::Sync, 2 + dice.roll() % 20);
    }
    let Ok(mut writer) = Writer::new(&disk, durability) else {
        return Some(Loss { appended: 0, acknowledged: 0, survived: 0 });
    };
    let mut confirmed = Vec::new();
    while writer.accepted.len() < RECORDS && !disk.ended() {
        for _ in 0..=dice.below(8) {
            let Some(number) = writer.append() else { break };
            if durability == Durability::Power && is_durable(&writer, number).await {
                confirmed.push(number);
            }
        }
        match dice.below(3) {
            0 => writer.sync(),
            1 => drop(writer.ledger.request_sync()),
            _ => {}
        }
        writer.recover();
    }
    disk.ended().then(|| check(&writer, &confirmed, dice))
}

/// Waits for the record to be durable, or for the end.
async fn is_durable(writer: &Writer, number: u64) -> bool {
    tokio::select! {
        biased;
        durable = writer.ledger.durable(Appended(number)) => durable.is_ok(),
        () = async {
            while !writer.disk.ended() {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        } => false,
    }
}

/// Starts again on what is left, and compares.
fn check(writer: &Writer, confirmed: &[u64], dice: &mut Dice) -> Loss {
    let synced = writer.synced();
    let left = writer.disk.after_power_loss(dice);
    // A store may have folded up to the last completed sync.
    let resume = Resume { folded: synced.position, next_record: synced.next_record };
    let ledger =
        open(&left, resume, Durability::Process).expect("nothing that was folded is damaged or gone");
    let survived = records(&ledger);
    for (number, customer) in &survived {
        assert_eq!(writer.accepted.get(number), Some(customer), "record {number} was never accepted so");
    }
    let promised = writer.accepted.range(..synced.next_record).map(|(number, _)| number);
    for number in promised.chain(confirmed) {
        assert!(survived.contains_key(number), "record {number} was durable, and is lost");
    }
    let last = survived.last_key_value().map_or(0, |(number, _)| *number);
    let next = ledger.append(&super::record(u32::MAX, 1)).expect("it goes on");
    assert!(next.0 > last && next.0 >= synced.next_record, "number {} was given before", next.0);
    drop(ledger);
    let acknowledged = if confirmed.is_empty() {
        writer.accepted.range(..synced.next_record).count()
    } else {
        confirmed.len()
    };
    Loss { appended: writer.accepted.len(), acknowledged, survived: survived.len() }
}

async fn every_sync(durability: Durability, rounds: u32) {
    let mut dice = Dice::new("power");
    eprintln!("{durability:?}: sync | appended | acknowledged | survived | lost");
    for round in 0..setting("TOLLGATE_TEST_ROUNDS", rounds) {
        for n in 1.. {
            let Some(loss) = lose_power(durability, n, &mut dice).await else {
                assert!(n > 3, "a run has syncs");
                break;
            };
            let Loss { appended, acknowledged, survived } = loss;
            assert!(survived >= acknowledged);
            if round == 0 {
                eprintln!(
                    "{n:4} | {appended:4} | {acknowledged:4} | {survived:4} | {:4}",
                    appended - survived
                );
            }
        }
    }
}

#[tokio::test]
async fn with_durability_process_a_loss_of_power_takes_at_most_what_came_after_the_last_sync() {
    every_sync(Durability::Process, 20).await;
}

#[tokio::test]
async fn with_durability_power_a_loss_of_power_takes_nothing_that_was_acknowledged() {
    every_sync(Durability::Power, 2).await;
}

#[test]
fn what_a_start_finds_after_a_kill_survives_the_next_loss_of_power() {
    let mut dice = Dice::new("kill, then power");
    for _ in 0..50 {
        let mut writer = Writer::new(&FaultyDisk::default(), Durability::Process).expect("a sound disk");
        for _ in 0..=dice.below(40) {
            writer.append();
        }
        // Nobody asked for a sync: the kernel alone holds most of it.
        let killed = writer.disk.after_kill();
        let ledger = open(&killed, Resume::default(), Durability::Process).expect("starts again");
        assert_eq!(records(&ledger), writer.accepted);
        // By now it may be folded.
        let synced = *ledger.synced().borrow();
        let resume = Resume { folded: synced.position, next_record: synced.next_record };
        let left = killed.after_power_loss(&mut dice);
        let ledger = open(&left, resume, Durability::Process).expect("nothing that was folded is gone");
        assert_eq!(records(&ledger), writer.accepted);
    }
}

#[tokio::test]
async fn with_durability_power_a_disk_that_stands_still_is_an_error_and_not_a_wait_without_end() {
    let disk = FaultyDisk::default();
    let mut writer = Writer::new(&disk, Durability::Power).expect("a sound disk");
    let (go_on, stands_still) = std::sync::mpsc::channel::<()>();
    disk.in_sync(move || {
        let _ = stands_still.recv();
    });
    let number = writer.append().expect("a write still works");
    let durable = writer.ledger.durable(Appended(number));
    durable.await.expect_err("nobody knows whether it is durable");
    drop(go_on);
    writer.ledger.durable(Appended(number)).await.expect("the disk goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_durability_power_who_waits_when_the_ledger_ends_is_told() {
    let disk = FaultyDisk::default();
    let mut writer = Writer::new(&disk, Durability::Power).expect("a sound disk");
    disk.fail_all(Operation::Sync);
    let number = writer.append().expect("a write still works");
    let durable = writer.ledger.durable(Appended(number));
    let ends = async { tokio::task::block_in_place(|| writer.ledger.close()) };
    let (durable, ()) = tokio::join!(durable, ends);
    durable.expect_err("it never will be");
}
