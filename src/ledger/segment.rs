//! Reading: records in order, across segments, superseded ones left out, holes told.

use std::io;
use std::sync::Arc;

use super::format::{FRAME_BYTES, HEADER_BYTES, Header, MAX_BODY_BYTES, Position, Record};
use super::storage::{SegmentFile, Storage};

/// A reader reads this much of a segment at a time.
const READ_AT_ONCE: usize = 1 << 20;
/// No record is longer, its frame included.
const MAX_RECORD_BYTES: usize = FRAME_BYTES + MAX_BODY_BYTES;

/// What stands in a stretch of a segment.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and none is kept")]
pub enum Item {
    /// A whole record, and the offset behind it.
    Record(Record, u64),
    /// Bytes that are no record: torn, damaged or never written. Offsets from and to.
    Hole(u64, u64),
}

/// Splits a stretch of a segment that starts at `offset` into records and holes.
pub fn scan(bytes: &[u8], offset: u64) -> impl Iterator<Item = Item> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        if let Some((record, length)) = Record::decode(&bytes[at..]) {
            at += length;
            return Some(Item::Record(record, offset + at as u64));
        }
        let from = at;
        at = (from + 1..bytes.len())
            .find(|next| Record::decode(&bytes[*next..]).is_some())
            .unwrap_or(bytes.len());
        Some(Item::Hole(offset + from as u64, offset + at as u64))
    })
}

/// The bytes of a file from `offset` to `end`, or to its own end.
pub fn read_range(file: &dyn SegmentFile, offset: u64, end: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(offset)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The header of a segment; `None` when it is torn.
pub fn read_header(file: &dyn SegmentFile) -> io::Result<Option<Header>> {
    Ok(Header::decode(&read_range(file, 0, HEADER_BYTES)?))
}

/// The number from which on records stand again in a later segment: a failure before the first of them may have
/// reached back over several.
fn superseded_from(storage: &Arc<dyn Storage>, later: &[u64]) -> io::Result<u64> {
    let mut bound = u64::MAX;
    for segment in later {
        if let Some(header) = read_header(&*storage.open(*segment)?)? {
            bound = bound.min(header.first_record);
        }
    }
    Ok(bound)
}

/// Reads the ledger onwards from a position, each record number once.
pub struct Reader {
    storage: Arc<dyn Storage>,
    /// Behind the last record that counts: never in what a failure left, which a loss of power may yet take.
    position: Position,
    /// How far that segment has been looked at; nothing between the position and here counts.
    seen: u64,
    next_record: u64,
}

impl Reader {
    /// Starts at `position`; records below `next_record` are known already and left out.
    pub fn new(storage: Arc<dyn Storage>, position: Position, next_record: u64) -> Self {
        Self { storage, position, seen: position.offset, next_record }
    }

    /// How far has been read.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The number of the record that comes next.
    pub fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Reads on, a piece at a time, towards `end`, and shows each new record. Answers whether `end` has been reached.
    /// After an error nothing has been shown.
    pub fn read(&mut self, end: Position, mut visit: impl FnMut(&Record)) -> io::Result<bool> {
        if self.position >= end {
            return Ok(true);
        }
        let segment = self.position.segment;
        if segment == end.segment {
            if self.read_piece(end.offset, u64::MAX, &mut visit)? {
                self.go_to(end);
            }
            return Ok(self.position >= end);
        }
        let later: Vec<u64> = self.storage.list()?.into_iter().filter(|n| *n > segment).collect();
        let Some(next) = later.first().copied() else { return Ok(true) };
        let superseded_from = superseded_from(&self.storage, &later)?;
        if segment == 0 || self.read_piece(u64::MAX, superseded_from, &mut visit)? {
            self.go_to(Position { segment: next, offset: HEADER_BYTES });
        }
        Ok(self.position >= end)
    }

    fn go_to(&mut self, position: Position) {
        (self.position, self.seen) = (position, position.offset);
    }

    /// Reads one piece of the segment; answers whether there is no more of it.
    fn read_piece(
        &mut self,
        end: u64,
        superseded_from: u64,
        visit: &mut impl FnMut(&Record),
    ) -> io::Result<bool> {
        let (segment, from) = (self.position.segment, self.seen);
        let file = self.storage.open(segment)?;
        let end = end.min(file.length()?);
        let to = end.min(from + READ_AT_ONCE as u64);
        let bytes = read_range(&*file, from, to)?;
        self.seen = to.max(from);
        for item in scan(&bytes, from) {
            match item {
                Item::Record(record, behind) => {
                    self.show(&record, behind, superseded_from, visit);
                }
                // The piece may end within a record: it is read again with the next piece.
                Item::Hole(at, until) if until == to && to < end => {
                    self.seen = at.max(to.saturating_sub(MAX_RECORD_BYTES as u64 - 1));
                }
                Item::Hole(..) => {}
            }
        }
        Ok(to == end || self.seen >= end)
    }

    fn show(&mut self, record: &Record, behind: u64, superseded_from: u64, visit: &mut impl FnMut(&Record)) {
        if record.number >= superseded_from {
            return;
        }
        self.position.offset = behind;
        if record.number < self.next_record {
            return;
        }
        if record.number > self.next_record && self.next_record > 0 {
            let (segment, from, to) = (self.position.segment, self.next_record, record.number);
            tracing::error!(segment, from, to, "usage records are missing from the ledger");
        }
        self.next_record = record.number + 1;
        visit(record);
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
