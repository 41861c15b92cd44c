//! Each segment holds the hash of the one before, of its file as it stands, whatever happened while it was written.

use tollgate::ledger::{Damage, Durability, Expected, Ledger, Resume, Verified, Verifier};

use super::disk::{FaultyDisk, Operation};
use super::writer::{Writer, open};
use super::{LEDGER, record};
use crate::harness::{Dice, setting};

fn verify(ledger: &Ledger) -> Verified {
    let synced = *ledger.synced().borrow();
    let resume = Resume { folded: synced.position, next_record: synced.next_record };
    let expected = Expected { ledger: LEDGER, resume, lost: &[], kept_since_micros: i64::MAX };
    let survey = ledger.survey().expect("surveys");
    let mut verifier = Verifier::new(&survey, expected);
    while verifier.next_segment(|_| {}).expect("reads").is_some() {}
    verifier.finish()
}

#[test]
fn a_finished_segment_is_linked_without_being_read_again() {
    let disk = FaultyDisk::default();
    let mut writer = Writer::new(&disk, Durability::Process).expect("a sound disk");
    disk.fail_all(Operation::Read);
    while writer.synced().position.segment < 6 {
        writer.append().expect("appends");
        writer.sync();
    }
    writer.ledger.close();
    disk.heal();
    let (found, records) = (verify(&writer.ledger), writer.synced().next_record - 1);
    assert_eq!(found, Verified { segments: 6, records, ..Verified::default() });
}

/// Appends, syncs, failures and starts in any order; answers how many segments are linked.
fn links_after(dice: &mut Dice) -> u64 {
    use Operation::{Create, Read, Sync, SyncFolder, Write};
    let disk = FaultyDisk::default();
    let mut ledger = open(&disk, Resume::default(), Durability::Process).expect("a sound disk");
    for customer in 0..150 {
        match dice.below(30) {
            0 => {
                disk.heal();
                drop(ledger);
                ledger = open(&disk, Resume::default(), Durability::Process).expect("starts again");
            }
            1 => disk.fail_nth([Write, Sync, Create, SyncFolder, Read][dice.below(5)], 1 + dice.roll() % 4),
            2..10 => {
                let target = ledger.request_sync();
                while ledger.is_available() && ledger.synced().borrow().next_record < target {
                    std::thread::yield_now();
                }
            }
            // Some are refused.
            _ => drop(ledger.append(&record(customer, 1))),
        }
    }
    disk.heal();
    while !ledger.is_available() {
        std::thread::yield_now();
    }
    ledger.close();
    let found = verify(&ledger);
    // A link is torn where writing it failed; none is of another file than stands there.
    let wrong = found.faults.iter().find(|fault| fault.damage != Damage::Link);
    assert!(wrong.is_none(), "{found:?}");
    found.segments - found.unlinked - found.faults.len() as u64 - 1
}

#[test]
fn no_link_is_wrong_whatever_failed_between() {
    let mut dice = Dice::new("links");
    let links: u64 = (0..setting("TOLLGATE_TEST_ROUNDS", 40)).map(|_| links_after(&mut dice)).sum();
    assert!(links > 50, "{links} links are too few to say anything");
}
