//! Every kind of damage is found, and what is none is not taken for it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::format::tests::record;
use super::super::{Disk, Durability, Ledger, Options, SegmentFile, Storage};
use super::*;

const ID: LedgerId = LedgerId([9; 16]);
const OPTIONS: Options = Options {
    durability: Durability::Process,
    sync_interval: Duration::from_millis(1),
    segment_bytes: 2_000,
};

/// A ledger on a real disk, and how far it is synced.
struct Books {
    folder: TempDir,
    resume: Resume,
    lost: Vec<Lost>,
}

impl Books {
    /// Closed, of four segments.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(Disk::open(folder.path()).expect("a folder"));
        let ledger = Ledger::open(disk.clone(), ID, Resume::default(), OPTIONS, 0).expect("opens");
        for segments in 1..=4 {
            // More than a segment takes: the next one is begun as soon as these are synced.
            for customer in 0..if segments == 4 { 3 } else { 17 } {
                ledger.append(&record(customer, 1)).expect("appends");
            }
            while segments < 4 && ledger.synced().borrow().position.segment == segments {
                ledger.request_sync();
                std::thread::yield_now();
            }
        }
        ledger.close();
        Self { folder, resume: reached(&ledger), lost: Vec::new() }
    }

    fn disk(&self) -> Arc<Disk> {
        Arc::new(Disk::open_read_only(self.folder.path()).expect("a folder"))
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.path().join(format!("{segment:016}.seg"))
    }

    fn change(&self, segment: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(segment)).expect("a segment");
        change(&mut bytes);
        fs::write(self.path(segment), bytes).expect("a segment");
    }

    fn verify_since(&self, kept_since_micros: i64) -> Verified {
        let Self { resume, lost, .. } = self;
        let expected = Expected { ledger: ID, resume: *resume, lost, kept_since_micros };
        verify_on(self.disk(), expected)
    }

    fn verify(&self) -> Verified {
        self.verify_since(i64::MAX)
    }
}

fn reached(ledger: &Ledger) -> Resume {
    let synced = *ledger.synced().borrow();
    Resume { folded: synced.position, next_record: synced.next_record }
}

fn verify_on(storage: Arc<dyn Storage>, expected: Expected<'_>) -> Verified {
    let survey = Survey::new(storage, ID).expect("surveys");
    let mut verifier = Verifier::new(&survey, expected);
    let mut numbers = Vec::new();
    while verifier.next_segment(|record| numbers.push(record.number)).expect("reads").is_some() {}
    let found = verifier.finish();
    assert_eq!(found.records, numbers.len() as u64);
    assert!(numbers.is_sorted_by(|a, b| a < b), "each record is shown once: {numbers:?}");
    found
}

/// A disk whose syncs fail on demand.
struct Failing {
    disk: Disk,
    fails: Arc<AtomicBool>,
}

struct FailingFile {
    file: Arc<dyn SegmentFile>,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn wrap(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(FailingFile { file, fails: self.fails.clone() })
    }
}

impl Storage for Failing {
    fn list(&self) -> io::Result<Vec<u64>> {
        self.disk.list()
    }
    fn create(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        self.disk.create(segment).map(|file| self.wrap(file))
    }
    fn open(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        self.disk.open(segment).map(|file| self.wrap(file))
    }
    fn remove(&self, segment: u64) -> io::Result<()> {
        self.disk.remove(segment)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
}

impl SegmentFile for FailingFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            Err(io::Error::other("sync failed"))
        } else {
            self.file.sync()
        }
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

fn places(found: &Verified) -> Vec<(u64, u64)> {
    found.faults.iter().map(|fault| (fault.segment, fault.offset)).collect()
}

#[test]
fn a_sound_ledger_is_whole_and_every_segment_is_linked() {
    let books = Books::new();
    let found = books.verify();
    let records = books.resume.next_record - 1;
    assert_eq!(found, Verified { segments: 4, records, ..Verified::default() });
}

#[test]
fn a_damaged_record_is_named_with_its_place() {
    let books = Books::new();
    books.change(2, |bytes| bytes[128 + 120 + 50] ^= 4);
    let found = books.verify();
    let bytes = fs::read(books.path(2)).expect("a segment");
    let number = Header::decode(&bytes).expect("a header").first_record + 1;
    let damage = Damage::Records { from: number, to: number };
    assert_eq!(found.faults[0], Fault { segment: 2, offset: 248, damage });
    assert_eq!(found.faults[1].damage, Damage::BrokenLink { before: 2 });
}

#[test]
fn a_missing_segment_is_named_wherever_it_was() {
    for missing in 1..=4 {
        let books = Books::new();
        fs::remove_file(books.path(missing)).expect("removes");
        let found = books.verify_since(i64::MIN);
        let named = places(&found).iter().any(|(segment, _)| *segment == missing);
        assert!(named || (missing == 1 && found.faults[0].damage == Damage::RemovedEarly), "{found:?}");
    }
}

#[test]
fn pruned_segments_are_not_missed() {
    let books = Books::new();
    fs::remove_file(books.path(1)).expect("removes");
    fs::remove_file(books.path(2)).expect("removes");
    let found = books.verify();
    assert!(found.is_whole(), "{found:?}");
    assert!(found.pruned_before_micros.is_some());
}

#[test]
fn a_foreign_segment_is_named() {
    let books = Books::new();
    let other = LedgerId([1; 16]);
    books.change(3, |bytes| {
        let header = Header { ledger: other, ..Header::decode(bytes).expect("a header") };
        bytes[..64].copy_from_slice(&header.encode()[..64]);
    });
    let found = books.verify();
    assert_eq!(found.faults[0], Fault { segment: 3, offset: 0, damage: Damage::Foreign });
}

#[test]
fn segments_in_the_wrong_order_are_named() {
    let books = Books::new();
    let mut third = Vec::new();
    books.change(3, |bytes| third.clone_from(bytes));
    books.change(2, |bytes| std::mem::swap(bytes, &mut third));
    books.change(3, |bytes| *bytes = third);
    let found = books.verify();
    let damages: Vec<_> = found.faults.iter().map(|fault| (fault.segment, fault.damage.clone())).collect();
    assert!(damages.contains(&(2, Damage::Misnumbered { holds: 3 })), "{damages:?}");
    assert!(damages.contains(&(3, Damage::Misnumbered { holds: 2 })), "{damages:?}");
}

#[test]
fn what_a_failure_left_behind_is_no_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let fails = Arc::new(AtomicBool::new(false));
    let disk = Disk::open(folder.path()).expect("a folder");
    let storage = Arc::new(Failing { disk, fails: fails.clone() });
    let options = Options { segment_bytes: u64::MAX, ..OPTIONS };
    let ledger = Ledger::open(storage, ID, Resume::default(), options, 0).expect("opens");
    for customer in 0..3 {
        fails.store(customer == 1, Ordering::SeqCst);
        ledger.append(&record(customer, 1)).expect("a write still works");
        ledger.request_sync();
        while customer == 1 && ledger.is_available() {
            std::thread::yield_now();
        }
        fails.store(false, Ordering::SeqCst);
        while !ledger.is_available() {
            std::thread::yield_now();
        }
    }
    ledger.close();
    let books = Books { folder, resume: reached(&ledger), lost: Vec::new() };
    let found = books.verify();
    assert_eq!(found, Verified { segments: 2, records: 3, unlinked: 1, ..Verified::default() });
}

#[test]
fn a_segment_that_was_being_filled_again_when_the_process_died_counts_no_record_twice() {
    let books = Books::new();
    let last = books.resume.folded.segment;
    let newest = fs::read(books.path(last)).expect("a segment");
    let mut again = vec![0; HEADER];
    again.extend_from_slice(&newest[HEADER..]);
    fs::write(books.path(last + 1), again).expect("a segment");
    let found = books.verify();
    assert_eq!((found.records, found.faults), (books.resume.next_record - 1, Vec::new()));
}

#[test]
fn what_power_took_behind_the_folded_position_is_told_and_never_becomes_damage() {
    let mut books = Books::new();
    let before = books.resume;
    let newest = before.folded.segment;
    books.change(newest, |bytes| {
        let start = bytes.len();
        for number in before.next_record..before.next_record + 3 {
            record(1, 1).encode(number, bytes);
        }
        bytes[start + 120..start + 240].fill(0);
        bytes.extend_from_slice(&[1, 2, 3]);
    });
    let (hole, offset) = (before.next_record + 1, before.folded.offset + 120);
    let lost = Lost { segment: newest, offset, from: hole, to: hole };
    let found = books.verify();
    assert_eq!((found.lost, found.faults, found.torn_bytes), (vec![lost], vec![], 123));

    for start in 0..3 {
        let disk = Arc::new(Disk::open(books.folder.path()).expect("a folder"));
        let opened = Ledger::open_after_losses(disk, ID, books.resume, &books.lost, OPTIONS, 0);
        let (ledger, told) = opened.expect("a loss that is known does not stop a start");
        assert_eq!(told, if start == 0 { vec![lost] } else { Vec::new() }, "told once");
        books.lost.extend(told);
        ledger.append(&record(2, 1)).expect("appends");
        ledger.close();
        // As if all of it had been folded.
        books.resume = reached(&ledger);
        let found = books.verify();
        assert_eq!((found.lost, found.faults), (vec![lost], vec![]), "start {start}");
    }
    books.lost.clear();
    assert!(!books.verify().is_whole(), "what nobody has told is damage");
}

#[test]
fn a_ledger_in_use_is_whole_at_every_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(Disk::open(folder.path()).expect("a folder"));
    let ledger = Ledger::open(disk.clone(), ID, Resume::default(), OPTIONS, 0).expect("opens");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for customer in 0..1_000 {
                ledger.append(&record(customer, 1)).expect("appends");
            }
        });
        while !writer.is_finished() {
            let expected =
                Expected { ledger: ID, resume: reached(&ledger), lost: &[], kept_since_micros: i64::MAX };
            let found = verify_on(disk.clone(), expected);
            assert!(found.is_whole() && found.lost.is_empty(), "{found:?}");
        }
    });
}

/// Damages one segment for a moment.
fn with_damage(books: &Books, segment: u64, damage: impl FnOnce(&mut Vec<u8>)) -> Verified {
    let sound = fs::read(books.path(segment)).expect("a segment");
    books.change(segment, damage);
    let found = books.verify();
    fs::write(books.path(segment), sound).expect("a segment");
    found
}

fn length(books: &Books, segment: u64) -> usize {
    let length = fs::metadata(books.path(segment)).expect("a segment").len();
    usize::try_from(length).expect("small")
}

#[test]
fn a_flipped_bit_in_any_byte_before_the_synced_end_is_found() {
    let books = Books::new();
    for segment in 1..=4 {
        for at in 0..length(&books, segment) {
            let bit = (at * 5) % 8;
            let found = with_damage(&books, segment, |bytes| bytes[at] ^= 1 << bit);
            assert!(!found.is_whole(), "bit {bit} of byte {at} in segment {segment}");
        }
    }
    assert!(books.verify().is_whole());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn any_flipped_bit_and_any_early_end_is_found(places in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 20)) {
        let books = Books::new();
        for (segment, (at, bit)) in (1..=4).cycle().zip(places) {
            let at = at.index(length(&books, segment));
            let found = with_damage(&books, segment, |bytes| bytes[at] ^= 1 << bit);
            prop_assert!(!found.is_whole(), "bit {bit} of byte {at} in segment {segment}");
            let found = with_damage(&books, segment, |bytes| bytes.truncate(at));
            prop_assert!(!found.is_whole(), "segment {segment} cut at {at}");
        }
    }
}
