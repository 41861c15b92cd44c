//! Opening: what is on disk is checked before anything new is written.

use std::io;
use std::sync::Arc;

use super::format::{HEADER_BYTES, Header, Kind, LedgerId, Position, Record};
use super::segment::{Item, read_header, read_range, scan};
use super::storage::{SegmentFile, Storage};

/// At start the newest segments are read and checked, up to so many bytes and always back to the folded
/// position; the older ones only by `tollgate ledger verify`, so that a start stays quick.
pub(super) const CHECKED_BYTES: u64 = 1 << 30;

/// What the store knows of the ledger: everything before `folded` was on disk and has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    pub folded: Position,
    /// The number of the first record that has not been folded.
    pub next_record: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read or write the ledger: {0}; check the disk and the permissions of data_dir")]
    Io(#[from] io::Error),
    #[error(
        "the ledger is damaged in segment {segment:016}.seg at offset {offset}, before the last recorded sync: \
         restore data_dir from a backup; `tollgate ledger verify` shows the extent"
    )]
    Damaged { segment: u64, offset: u64 },
    #[error("segment {segment:016}.seg of the ledger is missing: restore data_dir from a backup")]
    Missing { segment: u64 },
    #[error("segment {segment:016}.seg belongs to another ledger: data_dir mixes the files of two")]
    Foreign { segment: u64 },
}

/// Records that a loss of power took before they were synced, and the place where they are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub segment: u64,
    pub offset: u64,
    /// The first and the last of them.
    pub from: u64,
    pub to: u64,
}

impl Lost {
    /// A correction of what was lost corrects nothing.
    pub fn took_what_is_corrected_by(&self, record: &Record) -> bool {
        matches!(record.kind, Kind::Correction { of } if (self.from..=self.to).contains(&of))
    }
}

/// Where to go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Recovered {
    pub next_segment: u64,
    pub next_record: u64,
    /// Found missing now, behind what was folded.
    pub lost: Vec<Lost>,
}

/// Checks what is there, cuts a torn tail, and makes everything that will be folded durable. What was found lost by an
/// earlier start (`known`) is no damage once the fold has passed it.
pub fn recover(
    storage: &Arc<dyn Storage>,
    ledger: LedgerId,
    resume: Resume,
    known: &[Lost],
    checked_bytes: u64,
) -> Result<Recovered, OpenError> {
    let segments = storage.list()?;
    let folded = resume.folded.segment;
    if folded > 0 && !segments.contains(&folded) {
        return Err(OpenError::Missing { segment: folded });
    }
    let mut check = Check { ledger, resume, known, lost: Vec::new(), next_record: 0, last: None };
    let checked = checked_range(storage, &segments, folded, checked_bytes)?;
    if checked == 0 && segments.first() == Some(&1) {
        // Nothing has been pruned: the first record must be there.
        check.next_record = 1;
    }
    let mut opened = Vec::new();
    for segment in &segments[checked..] {
        let file = storage.open(*segment)?;
        opened.push((*segment, read_header(&*file)?, file));
    }
    // Backwards: each segment is bounded by the first records of all that come later.
    let mut bounds = vec![u64::MAX; opened.len()];
    for at in (1..opened.len()).rev() {
        let first = opened[at].1.map_or(u64::MAX, |header: Header| header.first_record);
        bounds[at - 1] = bounds[at].min(first);
    }
    for ((segment, header, file), superseded_from) in opened.iter().zip(bounds) {
        let later = Later { superseded_from, is_last: Some(segment) == segments.last() };
        check.segment(*segment, *header, &**file, later)?;
        if *segment >= folded {
            file.sync()?;
        }
    }
    check.reaches_what_was_folded()?;
    storage.sync_folder()?;
    Ok(Recovered {
        next_segment: segments.last().map_or(1, |last| last + 1),
        next_record: check.next_record.max(resume.next_record).max(1),
        lost: check.lost,
    })
}

/// The index of the first segment to check.
fn checked_range(
    storage: &Arc<dyn Storage>,
    segments: &[u64],
    folded: u64,
    mut budget: u64,
) -> io::Result<usize> {
    for (at, segment) in segments.iter().enumerate().rev() {
        let length = storage.open(*segment)?.length()?;
        if budget < length && *segment < folded {
            return Ok(at + 1);
        }
        budget = budget.saturating_sub(length);
    }
    Ok(0)
}

/// What the segments behind one say of it.
#[derive(Clone, Copy)]
struct Later {
    superseded_from: u64,
    is_last: bool,
}

struct Check<'a> {
    ledger: LedgerId,
    resume: Resume,
    known: &'a [Lost],
    lost: Vec<Lost>,
    /// Behind the last good record; 0 before the first.
    next_record: u64,
    /// The segment checked last.
    last: Option<u64>,
}

impl Check<'_> {
    fn segment(
        &mut self,
        segment: u64,
        header: Option<Header>,
        file: &dyn SegmentFile,
        later: Later,
    ) -> Result<(), OpenError> {
        let folded = self.resume.folded;
        let length = file.length()?;
        if segment == folded.segment && length < folded.offset {
            return Err(OpenError::Damaged { segment, offset: length });
        }
        if self.last.is_some_and(|last| last + 1 != segment) && segment <= self.resume.folded.segment {
            return Err(OpenError::Missing { segment: segment - 1 });
        }
        self.last = Some(segment);
        match header {
            Some(header) if header.ledger != self.ledger => return Err(OpenError::Foreign { segment }),
            // A segment that failed in its first sync: what should come before it stands again behind it.
            Some(header) => {
                self.numbers_reach(header.first_record.min(later.superseded_from), segment, 0)?;
            }
            // A kill between making a segment and writing its head: the numbers show whether anything is missing.
            None if length <= HEADER_BYTES => {}
            // A segment that failed, and then lost power: all that it could hold stands again later.
            None if later.superseded_from <= self.next_record => {}
            None => self.hole(segment, 0, HEADER_BYTES)?,
        }
        self.records(segment, file, later)
    }

    fn records(&mut self, segment: u64, file: &dyn SegmentFile, later: Later) -> Result<(), OpenError> {
        let bytes = read_range(file, HEADER_BYTES, file.length()?)?;
        let mut good_until = HEADER_BYTES;
        let mut torn_at = None;
        for item in scan(&bytes, HEADER_BYTES) {
            match item {
                Item::Record(record, end) => {
                    if record.number < later.superseded_from {
                        self.numbers_reach(record.number, segment, good_until)?;
                        self.next_record = self.next_record.max(record.number + 1);
                    }
                    (good_until, torn_at) = (end, None);
                }
                Item::Hole(from, _) => torn_at = Some(from),
            }
        }
        if let (Some(from), true) = (torn_at, later.is_last) {
            self.hole(segment, from, file.length()?)?;
            file.truncate(from)?;
        }
        Ok(())
    }

    /// Whatever was folded must be there, unless it has been pruned with its segment.
    fn reaches_what_was_folded(&self) -> Result<(), OpenError> {
        let Position { segment, offset } = self.resume.folded;
        match self.next_record {
            0 => Ok(()),
            next if next < self.resume.next_record => Err(OpenError::Damaged { segment, offset }),
            _ => Ok(()),
        }
    }

    /// The next record that exists is `number`: what lies between is lost.
    fn numbers_reach(&mut self, number: u64, segment: u64, offset: u64) -> Result<(), OpenError> {
        if self.next_record == 0 {
            // The oldest segment that is checked: what came before it is not asked for.
            self.next_record = number;
        }
        let expected = self.next_record;
        if number > expected {
            let is_known = self.known.iter().any(|lost| lost.from == expected && lost.to + 1 == number);
            if expected < self.resume.next_record && !is_known {
                return Err(OpenError::Damaged { segment, offset });
            }
            if !is_known {
                tracing::error!(segment, offset, from = expected, to = number - 1, "usage records are lost");
                self.lost.push(Lost { segment, offset, from: expected, to: number - 1 });
            }
            self.next_record = number;
        }
        Ok(())
    }

    fn hole(&self, segment: u64, from: u64, to: u64) -> Result<(), OpenError> {
        if (Position { segment, offset: from }) < self.resume.folded {
            return Err(OpenError::Damaged { segment, offset: from });
        }
        tracing::warn!(segment, offset = from, bytes = to - from, "cut a torn record off the ledger's end");
        Ok(())
    }
}
