//! Reading all of a ledger while a gateway may be writing it: what is there at one moment, a segment at a time.
//!
//! What is appended, rolled or repaired after the survey is not seen; what is pruned after it reads as empty.

use std::io;
use std::sync::Arc;

use super::format::{HEADER_BYTES, Header, LedgerId, Record};
use super::segment::{Item, read_header, read_range, scan};
use super::storage::Storage;

/// Instants of records and headers come from a clock that may have been set back.
const CLOCK_STEP_MICROS: i64 = 3_600_000_000;

/// A segment as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub number: u64,
    /// None: torn, or not written yet.
    pub header: Option<Header>,
    /// Where its data ended.
    pub length: u64,
    /// Records from this number on stand again in a later segment.
    pub superseded_from: u64,
}

/// Everything that was there at one moment.
pub struct Survey {
    storage: Arc<dyn Storage>,
    ledger: LedgerId,
    segments: Vec<Segment>,
}

impl Survey {
    /// Looks at every segment's head and length.
    pub fn new(storage: Arc<dyn Storage>, ledger: LedgerId) -> io::Result<Self> {
        let mut segments = Vec::new();
        let mut superseded_from = u64::MAX;
        // Backwards: a segment that has a successor with a header is complete, so that none ends too early.
        for number in storage.list()?.into_iter().rev() {
            let file = match storage.open(number) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let header = read_header(&*file)?;
            segments.push(Segment { number, header, length: file.length()?, superseded_from });
            let ours = header.filter(|header| header.ledger == ledger && header.segment == number);
            superseded_from = superseded_from.min(ours.map_or(u64::MAX, |header| header.first_record));
        }
        segments.reverse();
        Ok(Self { storage, ledger, segments })
    }

    /// Ascending.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments that may hold records of `from_micros` and later, even if the clock was set back meanwhile.
    pub fn since(&self, from_micros: i64) -> &[Segment] {
        self.written_since(from_micros.saturating_sub(CLOCK_STEP_MICROS))
    }

    /// The segments that were written to at `from_micros` or later.
    pub fn written_since(&self, from_micros: i64) -> &[Segment] {
        let ended_before = |next: &Segment| next.header.is_some_and(|next| next.made_at_micros < from_micros);
        let first = self.segments.iter().skip(1).rposition(ended_before).map_or(0, |at| at + 1);
        &self.segments[first..]
    }

    /// The bytes of a segment as it was surveyed; none when it has been pruned since.
    pub fn read(&self, segment: &Segment) -> io::Result<Option<Vec<u8>>> {
        self.part(segment, 0, segment.length)
    }

    /// The same from one offset to another.
    pub fn part(&self, segment: &Segment, from: u64, to: u64) -> io::Result<Option<Vec<u8>>> {
        match self.storage.open(segment.number) {
            Ok(file) => read_range(&*file, from, to.min(segment.length)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pruned = self.storage.list()?.first().is_none_or(|first| *first > segment.number);
                if pruned { Ok(None) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Shows each record of a segment from a number on that does not stand again in a later one. Answers from which
    /// number to go on in the next segment: none is shown twice.
    pub fn records(
        &self,
        segment: &Segment,
        from_number: u64,
        mut visit: impl FnMut(&Record),
    ) -> io::Result<u64> {
        let mut next = from_number;
        if segment.header.is_some_and(|header| header.ledger != self.ledger) {
            return Ok(next);
        }
        let bytes = self.read(segment)?.unwrap_or_default();
        let header = usize::try_from(HEADER_BYTES).map_err(io::Error::other)?;
        for item in scan(bytes.get(header..).unwrap_or_default(), HEADER_BYTES) {
            if let Item::Record(record, _) = item
                && (next..segment.superseded_from).contains(&record.number)
            {
                next = record.number + 1;
                visit(&record);
            }
        }
        Ok(next)
    }
}
