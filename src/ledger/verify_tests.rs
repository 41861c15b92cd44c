//! Every kind of damage is found, and what is none is not taken for it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::super::format::tests::record;
use super::super::tests::{FakeDisk, ID, open, settled, wait_until_available};
use super::super::{Resume, Storage};
use super::*;

/// A closed ledger of some segments, and how far it is synced.
fn ledger() -> (Arc<FakeDisk>, Resume) {
    static MADE: LazyLock<(Arc<FakeDisk>, Resume)> = LazyLock::new(make_ledger);
    (MADE.0.after_power_loss(), MADE.1)
}

fn make_ledger() -> (Arc<FakeDisk>, Resume) {
    let disk = Arc::new(FakeDisk::default());
    let ledger = open(&disk);
    let mut customer = 0;
    while disk.list().expect("list").len() < 4 {
        ledger.append(&record(customer, 1)).expect("appends");
        customer += 1;
    }
    ledger.append(&record(customer, 1)).expect("appends");
    settled(&ledger);
    let synced = *ledger.synced().borrow();
    drop(ledger);
    // The link of the newest segment may have been written after the last sync.
    disk.open(synced.position.segment).and_then(|file| file.sync()).expect("syncs");
    (disk, Resume { folded: synced.position, next_record: synced.next_record })
}

fn verify_since(disk: &Arc<FakeDisk>, resume: Resume, kept_since_micros: i64) -> Verified {
    let survey = Survey::new(disk.clone(), ID).expect("surveys");
    let mut verifier = Verifier::new(&survey, Expected { ledger: ID, resume, kept_since_micros });
    let mut numbers = Vec::new();
    while verifier.next_segment(|record| numbers.push(record.number)).expect("reads").is_some() {}
    let found = verifier.finish();
    assert_eq!(found.records, numbers.len() as u64);
    assert!(numbers.is_sorted_by(|a, b| a < b), "each record is shown once: {numbers:?}");
    found
}

fn verify(disk: &Arc<FakeDisk>, resume: Resume) -> Verified {
    verify_since(disk, resume, i64::MAX)
}

fn length(disk: &FakeDisk, segment: u64) -> u64 {
    disk.open(segment).and_then(|file| file.length()).expect("a segment")
}

fn places(found: &Verified) -> Vec<(u64, u64)> {
    found.faults.iter().map(|fault| (fault.segment, fault.offset)).collect()
}

#[test]
fn a_sound_ledger_is_whole_and_every_segment_is_linked() {
    let (disk, resume) = ledger();
    let found = verify(&disk, resume);
    let records = resume.next_record - 1;
    assert_eq!(found, Verified { segments: 4, records, ..Verified::default() });
}

#[test]
fn a_damaged_record_is_named_with_its_place() {
    let (disk, resume) = ledger();
    disk.change(2, |bytes| bytes[128 + 120 + 50] ^= 4);
    let found = verify(&disk, resume);
    let first = disk.open(2).map(|file| super::super::segment::read_header(&*file).expect("reads"));
    let number = first.expect("opens").expect("a header").first_record + 1;
    let damage = Damage::Records { from: number, to: number };
    assert_eq!(found.faults[0], Fault { segment: 2, offset: 248, damage });
    assert_eq!(found.faults[1].damage, Damage::BrokenLink { before: 2 });
}

#[test]
fn a_missing_segment_is_named_wherever_it_was() {
    for missing in 1..=4 {
        let (disk, resume) = ledger();
        disk.remove(missing).expect("removes");
        let found = verify_since(&disk, resume, i64::MIN);
        let named = places(&found).iter().any(|(segment, _)| *segment == missing);
        assert!(named || (missing == 1 && found.faults[0].damage == Damage::RemovedEarly), "{found:?}");
    }
}

#[test]
fn pruned_segments_are_not_missed() {
    let (disk, resume) = ledger();
    disk.remove(1).expect("removes");
    disk.remove(2).expect("removes");
    let found = verify(&disk, resume);
    assert!(found.is_whole(), "{found:?}");
    assert!(found.pruned_before_micros.is_some());
}

#[test]
fn a_foreign_segment_is_named() {
    let (disk, resume) = ledger();
    let other = LedgerId([1; 16]);
    disk.change(3, |bytes| {
        let header = Header { ledger: other, ..Header::decode(bytes).expect("a header") };
        bytes[..64].copy_from_slice(&header.encode()[..64]);
    });
    let found = verify(&disk, resume);
    assert_eq!(found.faults[0], Fault { segment: 3, offset: 0, damage: Damage::Foreign });
}

#[test]
fn segments_in_the_wrong_order_are_named() {
    let (disk, resume) = ledger();
    let mut third = Vec::new();
    disk.change(3, |bytes| third.clone_from(bytes));
    disk.change(2, |bytes| std::mem::swap(bytes, &mut third));
    disk.change(3, |bytes| *bytes = third);
    let found = verify(&disk, resume);
    let damages: Vec<_> = found.faults.iter().map(|fault| (fault.segment, fault.damage.clone())).collect();
    assert!(damages.contains(&(2, Damage::Misnumbered { holds: 3 })), "{damages:?}");
    assert!(damages.contains(&(3, Damage::Misnumbered { holds: 2 })), "{damages:?}");
}

#[test]
fn what_a_failure_left_behind_is_no_damage() {
    let disk = Arc::new(FakeDisk::default());
    let ledger = open(&disk);
    ledger.append(&record(1, 1)).expect("appends");
    settled(&ledger);
    disk.faults.syncs.store(true, Ordering::SeqCst);
    ledger.append(&record(2, 1)).expect("a write still works");
    ledger.request_sync();
    while ledger.is_available() {
        std::thread::yield_now();
    }
    disk.faults.syncs.store(false, Ordering::SeqCst);
    wait_until_available(&ledger);
    ledger.append(&record(3, 1)).expect("appends");
    settled(&ledger);
    let synced = *ledger.synced().borrow();
    let resume = Resume { folded: synced.position, next_record: synced.next_record };
    let found = verify(&disk, resume);
    assert_eq!(found, Verified { segments: 2, records: 3, unlinked: 1, ..Verified::default() });
}

#[test]
fn what_power_took_behind_the_folded_position_is_told_and_no_damage() {
    let (disk, resume) = ledger();
    let last = resume.folded.segment;
    disk.change(last, |bytes| {
        let start = bytes.len();
        for number in resume.next_record..resume.next_record + 3 {
            record(1, 1).encode(number, bytes);
        }
        bytes[start + 120..start + 240].fill(0);
        bytes.extend_from_slice(&[1, 2, 3]);
    });
    let found = verify(&disk, resume);
    assert!(found.is_whole(), "{found:?}");
    let hole = resume.next_record + 1;
    let offset = resume.folded.offset + 120;
    assert_eq!(found.lost, [Lost { segment: last, offset, from: hole, to: hole }]);
    assert_eq!(found.torn_bytes, 123);
}

#[test]
fn a_ledger_in_use_is_whole_at_every_moment() {
    let disk = Arc::new(FakeDisk::default());
    let ledger = open(&disk);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for customer in 0..4_000 {
                ledger.append(&record(customer, 1)).expect("appends");
            }
        });
        while !writer.is_finished() {
            let synced = *ledger.synced().borrow();
            let resume = Resume { folded: synced.position, next_record: synced.next_record };
            let found = verify(&disk, resume);
            assert!(found.is_whole() && found.lost.is_empty(), "{found:?}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_flipped_bit_before_the_synced_end_is_found(segment in 1u64..=4, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (disk, resume) = ledger();
        let at = at.index(usize::try_from(length(&disk, segment)).expect("small"));
        disk.change(segment, |bytes| bytes[at] ^= 1 << bit);
        let found = verify(&disk, resume);
        prop_assert!(!found.is_whole(), "bit {bit} of byte {at} in segment {segment}");
    }

    #[test]
    fn any_segment_that_ends_too_early_is_found(segment in 1u64..=4, at in any::<prop::sample::Index>()) {
        let (disk, resume) = ledger();
        let at = at.index(usize::try_from(length(&disk, segment)).expect("small"));
        disk.change(segment, |bytes| bytes.truncate(at));
        prop_assert!(!verify(&disk, resume).is_whole(), "segment {segment} cut at {at}");
    }
}
