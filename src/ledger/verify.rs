//! Verifying: every byte that counts is checked, a segment in memory at a time.
//!
//! What shows damage: the checksums of headers and records, the numbers of segments and records, which grow by one,
//! and the hash of each segment in the header of the next. Before the position that the store has folded everything
//! must be whole. Behind it a loss of power may have taken records: they are told, and are no damage. So is the torn
//! end of the newest segment, where somebody may be writing, and the end of a segment that a failure superseded.

use std::io;

use sha2::{Digest, Sha256};

use super::format::{HEADER_BYTES, Header, LedgerId, Position, Record};
use super::recovery::{Lost, Resume};
use super::segment::{Item, scan};
use super::survey::{Segment, Survey};

/// Faults that are kept; more of them are counted.
const MAX_FAULTS: usize = 1_000;
const HEADER: usize = 128;
const LINK: std::ops::Range<usize> = 64..100;

/// What the ledger is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub ledger: LedgerId,
    /// Read from the store before the survey: what it has counted must be there.
    pub resume: Resume,
    /// What starts of the gateway found lost.
    pub lost: &'a [Lost],
    /// Segments that ended before this instant may have been pruned.
    pub kept_since_micros: i64,
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("the header is damaged")]
    Header,
    #[error("the segment belongs to another ledger")]
    Foreign,
    #[error("the file holds segment {holds}: it was renamed or copied")]
    Misnumbered { holds: u64 },
    #[error("the segment is missing")]
    Missing,
    #[error("the segments before it are missing, although ledger.retention still keeps them")]
    RemovedEarly,
    #[error("the hash of the segment before is damaged")]
    Link,
    #[error("segment {before:016}.seg has been changed since this one was linked to it")]
    BrokenLink { before: u64 },
    #[error("records {from} to {to} are damaged or missing")]
    Records { from: u64, to: u64 },
    #[error("record {found} stands where {expected} was expected")]
    OutOfOrder { found: u64, expected: u64 },
    #[error("the segment ends before what has been counted")]
    Truncated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub segment: u64,
    pub offset: u64,
    pub damage: Damage,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub segments: u64,
    /// Those that count; superseded ones are not in it.
    pub records: u64,
    /// Segments whose header holds no hash of the one before: after a failure of the disk, or a kill at their making.
    pub unlinked: u64,
    /// Bytes that are no record and where none is missing.
    pub torn_bytes: u64,
    /// Taken by a loss of power before they were synced.
    pub lost: Vec<Lost>,
    pub faults: Vec<Fault>,
    /// Beyond those that are listed.
    pub more_faults: u64,
    /// When the first segment that was read was made; none when nothing has been pruned before it.
    pub pruned_before_micros: Option<i64>,
}

impl Verified {
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Goes through a survey, segment by segment.
pub struct Verifier<'a> {
    survey: &'a Survey,
    expected: Expected<'a>,
    found: Verified,
    /// The index of the segment that comes next.
    at: usize,
    /// The record that comes next, once it is known.
    next_record: Option<u64>,
    /// Behind the last thing that was good.
    good_until: Position,
    before: Option<Before>,
}

/// What a segment's header says of its records.
enum Head {
    Ours,
    /// A kill before it was written: at the making of the segment, or while it was filled to replace a failed one. The
    /// numbers show whether anything is missing.
    NotWritten,
    Foreign,
}

/// The segment before.
#[derive(Clone, Copy)]
struct Before {
    number: u64,
    hash: [u8; 32],
}

impl<'a> Verifier<'a> {
    pub fn new(survey: &'a Survey, expected: Expected<'a>) -> Self {
        let starts_at_one = survey.segments().first().is_some_and(|segment| segment.number == 1);
        Self {
            survey,
            expected,
            found: Verified::default(),
            at: 0,
            next_record: starts_at_one.then_some(1),
            good_until: Position::default(),
            before: None,
        }
    }

    /// Goes through the newest segment alone; those before it are taken for good.
    pub fn of_newest(survey: &'a Survey, expected: Expected<'a>) -> Self {
        let at = survey.segments().len().saturating_sub(1);
        let next_record = if at == 0 { Self::new(survey, expected).next_record } else { None };
        Self { at, next_record, ..Self::new(survey, expected) }
    }

    /// What has been found so far.
    pub fn found(self) -> Verified {
        self.found
    }

    /// Checks the next segment and shows its records. Answers its bytes, or none at the end.
    pub fn next_segment(&mut self, visit: impl FnMut(&Record)) -> io::Result<Option<u64>> {
        let survey = self.survey;
        let Some(segment) = survey.segments().get(self.at) else { return Ok(None) };
        self.at += 1;
        let Some(bytes) = survey.read(segment)? else {
            // Pruned since the survey: what comes is the first again.
            (self.next_record, self.before) = (None, None);
            return Ok(Some(segment.length));
        };
        self.found.segments += 1;
        self.sequence(segment);
        let folded = self.expected.resume.folded;
        if segment.number == folded.segment && (bytes.len() as u64) < folded.offset {
            self.fault(segment.number, bytes.len() as u64, Damage::Truncated);
        }
        match self.header(segment, &bytes) {
            Head::Ours => {
                self.link(segment.number, &bytes);
                self.records(segment, &bytes, false, visit);
            }
            Head::NotWritten => self.records(segment, &bytes, true, visit),
            Head::Foreign => {}
        }
        self.before = Some(Before { number: segment.number, hash: Sha256::digest(&bytes).into() });
        Ok(Some(segment.length))
    }

    /// Whether everything is there that the store has counted.
    pub fn finish(mut self) -> Verified {
        let Resume { folded, next_record } = self.expected.resume;
        let is_there = self.survey.segments().iter().any(|segment| segment.number == folded.segment);
        if folded.segment > 0 && !is_there {
            self.fault(folded.segment, 0, Damage::Missing);
        }
        let reached = self.next_record.unwrap_or(0);
        if reached < next_record {
            let Position { segment, offset } = self.good_until;
            self.fault(segment, offset, Damage::Records { from: reached, to: next_record - 1 });
        }
        self.found
    }

    /// Numbers of segments grow by one; only the oldest are ever removed.
    fn sequence(&mut self, segment: &Segment) {
        let number = segment.number;
        match self.before {
            Some(before) => {
                for missing in (before.number + 1..number).take(MAX_FAULTS) {
                    self.fault(missing, 0, Damage::Missing);
                }
            }
            None if number > 1 => {
                let made_at = segment.header.map_or(i64::MIN, |header| header.made_at_micros);
                self.found.pruned_before_micros = Some(made_at);
                if made_at >= self.expected.kept_since_micros {
                    self.fault(number, 0, Damage::RemovedEarly);
                }
            }
            None => {}
        }
        self.before = self.before.filter(|before| before.number + 1 == number);
    }

    fn header(&mut self, segment: &Segment, bytes: &[u8]) -> Head {
        let number = segment.number;
        let Some(header) = Header::decode(bytes) else {
            let written = bytes.get(..HEADER).is_some_and(|head| head.iter().any(|byte| *byte != 0));
            if !written {
                return Head::NotWritten;
            }
            self.fault(number, 0, Damage::Header);
            return Head::Ours;
        };
        if header.ledger != self.expected.ledger {
            self.fault(number, 0, Damage::Foreign);
            return Head::Foreign;
        }
        if header.segment != number {
            self.fault(number, 0, Damage::Misnumbered { holds: header.segment });
        }
        if bytes.get(LINK.end..HEADER).is_none_or(|reserved| reserved.iter().any(|byte| *byte != 0)) {
            self.fault(number, LINK.end as u64, Damage::Header);
        }
        // A segment that failed in its first sync: what should come before it stands again behind it.
        self.reach(header.first_record.min(segment.superseded_from));
        self.good_until = Position { segment: number, offset: HEADER_BYTES };
        Head::Ours
    }

    fn link(&mut self, number: u64, bytes: &[u8]) {
        let Some(link) = bytes.get(LINK) else { return };
        if link.iter().all(|byte| *byte == 0) {
            self.found.unlinked += u64::from(number > 1);
            return;
        }
        let (hash, checksum) = link.split_at(32);
        if crc32c::crc32c(hash).to_le_bytes() != checksum {
            self.fault(number, LINK.start as u64, Damage::Link);
        } else if let Some(before) = self.before.filter(|before| before.hash != hash) {
            self.fault(number, LINK.start as u64, Damage::BrokenLink { before: before.number });
        }
    }

    /// With `again`, records may be those of an earlier segment once more.
    fn records(&mut self, segment: &Segment, bytes: &[u8], again: bool, mut visit: impl FnMut(&Record)) {
        let number = segment.number;
        self.good_until = Position { segment: number, offset: HEADER_BYTES };
        for item in scan(bytes.get(HEADER..).unwrap_or_default(), HEADER_BYTES) {
            match item {
                Item::Hole(from, to) => self.found.torn_bytes += to - from,
                Item::Record(record, end) => {
                    let known = again && self.next_record.is_some_and(|next| record.number < next);
                    if record.number < segment.superseded_from && !known && self.reach(record.number) {
                        self.next_record = Some(record.number + 1);
                        self.found.records += 1;
                        visit(&record);
                    }
                    self.good_until = Position { segment: number, offset: end };
                }
            }
        }
    }

    /// The next record that exists is `number`. Answers whether it is a new one.
    fn reach(&mut self, number: u64) -> bool {
        let expected = *self.next_record.get_or_insert(number);
        let Position { segment, offset } = self.good_until;
        if number < expected {
            self.fault(segment, offset, Damage::OutOfOrder { found: number, expected });
            return false;
        }
        if number > expected {
            let (from, to) = (expected, number - 1);
            let is_known = self.expected.lost.iter().any(|lost| (lost.from, lost.to) == (from, to));
            if is_known || from >= self.expected.resume.next_record {
                self.found.lost.push(Lost { segment, offset, from, to });
            } else {
                self.fault(segment, offset, Damage::Records { from, to });
            }
            self.next_record = Some(number);
        }
        true
    }

    fn fault(&mut self, segment: u64, offset: u64, damage: Damage) {
        if self.found.faults.len() < MAX_FAULTS {
            self.found.faults.push(Fault { segment, offset, damage });
        } else {
            self.found.more_faults += 1;
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
