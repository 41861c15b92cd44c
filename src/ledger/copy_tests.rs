//! A copy is a ledger, whatever is written meanwhile, and as another one it is whole too.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::format::tests::record;
use super::super::{Disk, Durability, Expected, Ledger, Lost, Options, Resume, Verified, Verifier};
use super::*;

const ID: LedgerId = LedgerId([9; 16]);
const ANOTHER: LedgerId = LedgerId([7; 16]);
const OPTIONS: Options = Options {
    durability: Durability::Process,
    sync_interval: Duration::from_millis(1),
    segment_bytes: 2_000,
};

fn disk(folder: &Path) -> Arc<Disk> {
    Arc::new(Disk::open(folder).expect("a folder"))
}

fn survey(folder: &Path, ledger: LedgerId) -> Survey {
    Survey::new(disk(folder), ledger).expect("a survey")
}

/// Opens the ledger of a folder, appends so many records, and says how far it was synced.
fn write(folder: &Path, resume: Resume, records: u32) -> Resume {
    let ledger = Ledger::open(disk(folder), ID, resume, OPTIONS, 0).expect("opens");
    for customer in 0..records {
        ledger.append(&record(customer, 1)).expect("appends");
    }
    ledger.close();
    let synced = *ledger.synced().borrow();
    Resume { folded: synced.position, next_record: synced.next_record }
}

fn verified(folder: &Path, ledger: LedgerId, resume: Resume) -> Verified {
    let lost: &[Lost] = &[];
    let survey = survey(folder, ledger);
    let mut verifier = Verifier::new(&survey, Expected { ledger, resume, lost, kept_since_micros: 0 });
    while verifier.next_segment(|_| ()).expect("reads").is_some() {}
    verifier.finish()
}

/// A ledger of some runs, and how far it goes.
fn ledger(folder: &Path) -> Resume {
    let mut reached = Resume::default();
    for records in [3, 40, 7, 0, 12] {
        reached = write(folder, reached, records);
    }
    reached
}

#[test]
fn a_copy_is_whole_and_gets_what_has_come_since_the_last_one() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut reached = Resume::default();
    for records in [3, 40, 7, 0, 12] {
        reached = write(folder.path(), reached, records);
        copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect("copies");
        let found = verified(to.path(), ID, reached);
        assert!(found.is_whole(), "{:?}", found.faults);
        assert_eq!(found, verified(folder.path(), ID, reached));
    }
    fs::remove_file(folder.path().join("0000000000000001.seg")).expect("prunes");
    forget_before(&survey(folder.path(), ID), &*disk(to.path())).expect("forgets");
    assert_eq!(disk(to.path()).list().expect("lists"), disk(folder.path()).list().expect("lists"));
}

#[test]
fn a_copy_takes_a_head_that_was_linked_since_and_cuts_what_the_ledger_has_cut() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    ledger(folder.path());
    copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect("copies");
    let (ours, theirs) = ("0000000000000003.seg", "0000000000000002.seg");
    let whole = fs::read(folder.path().join(ours)).expect("reads");
    let mut unlinked = whole.clone();
    unlinked[LINK_BYTES].fill(0);
    fs::write(to.path().join(ours), &unlinked).expect("writes");
    let shorter = fs::read(folder.path().join(theirs)).expect("reads");
    fs::write(to.path().join(theirs), [&shorter[..], b"torn"].concat()).expect("writes");
    copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect("copies");
    assert_eq!(fs::read(to.path().join(ours)).expect("reads"), whole);
    assert_eq!(fs::read(to.path().join(theirs)).expect("reads"), shorter);
}

#[test]
fn the_newest_segment_is_left_out_until_it_has_a_head() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let reached = ledger(folder.path());
    let last = disk(folder.path()).list().expect("lists").len() as u64;
    fs::write(folder.path().join(format!("{:016}.seg", last + 1)), b"").expect("writes");
    copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect("copies");
    assert_eq!(disk(to.path()).list().expect("lists").last(), Some(&last));
    assert!(verified(to.path(), ID, reached).is_whole());
}

#[test]
fn a_copy_that_was_cut_off_before_its_head_was_written_is_made_anew() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let reached = ledger(folder.path());
    copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect("copies");
    let second = "0000000000000002.seg";
    let whole = fs::read(folder.path().join(second)).expect("reads");
    let head = usize::try_from(HEADER_BYTES).expect("small");
    // Made, begun, and whole but for the head.
    for length in [0, head / 2, head, whole.len() - 1, whole.len(), whole.len() + 9] {
        let mut cut_off = whole.clone();
        cut_off.resize(length, 7);
        let zeros = head.min(length);
        cut_off[..zeros].fill(0);
        fs::write(to.path().join(second), cut_off).expect("writes");
        copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect("copies");
        assert_eq!(fs::read(to.path().join(second)).expect("reads"), whole, "{length}");
    }
    assert!(verified(to.path(), ID, reached).is_whole());
}

#[test]
fn a_folder_with_another_ledgers_copy_is_refused() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    ledger(folder.path());
    copy_as(&survey(folder.path(), ID), &*disk(to.path()), ANOTHER, |_| ()).expect("copies");
    let refused = copy(&survey(folder.path(), ID), &*disk(to.path()), |_| ()).expect_err("another one");
    assert!(matches!(refused, CopyError::Foreign { segment: 1 }), "{refused}");
}

#[test]
fn as_another_ledger_it_is_whole_and_linked_and_goes_on() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let reached = ledger(folder.path());
    let before = verified(folder.path(), ID, reached);
    copy_as(&survey(folder.path(), ID), &*disk(to.path()), ANOTHER, |_| ()).expect("copies");
    let found = verified(to.path(), ANOTHER, reached);
    assert_eq!(found, before);
    assert_eq!(found.unlinked, 0);
    assert!(!verified(to.path(), ID, reached).is_whole(), "it is another one");
    Ledger::open(disk(to.path()), ANOTHER, reached, OPTIONS, 0).expect("opens").close();
}

#[test]
fn what_was_changed_since_it_was_linked_is_not_linked_anew() {
    let (folder, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    ledger(folder.path());
    let second = folder.path().join("0000000000000002.seg");
    let mut bytes = fs::read(&second).expect("reads");
    bytes[200] ^= 1;
    fs::write(&second, bytes).expect("writes");
    let refused =
        copy_as(&survey(folder.path(), ID), &*disk(to.path()), ANOTHER, |_| ()).expect_err("changed");
    assert!(matches!(refused, CopyError::Changed { segment: 2 }), "{refused}");
}
