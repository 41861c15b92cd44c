//! Reading: records in order, across segments, superseded ones left out, holes told.

use std::io;
use std::sync::Arc;

use super::format::{HEADER_BYTES, Header, Position, Record};
use super::storage::{SegmentFile, Storage};

/// What stands in a stretch of a segment.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// A whole record, and the offset behind it.
    Record(Box<Record>, u64),
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
            return Some(Item::Record(Box::new(record), offset + at as u64));
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
    position: Position,
    next_record: u64,
}

impl Reader {
    /// Starts at `position`; records below `next_record` are known already and left out.
    pub fn new(storage: Arc<dyn Storage>, position: Position, next_record: u64) -> Self {
        Self { storage, position, next_record }
    }

    /// How far has been read.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The number of the record that comes next.
    pub fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Reads on, towards `end` (at most to the end of one segment a call), and shows each new record.
    /// Answers whether `end` has been reached. After an error the position is unchanged.
    pub fn read(&mut self, end: Position, mut visit: impl FnMut(&Record)) -> io::Result<bool> {
        if self.position >= end {
            return Ok(true);
        }
        let segment = self.position.segment;
        if segment == end.segment {
            self.read_segment(end.offset, u64::MAX, &mut visit)?;
            self.position = end;
            return Ok(true);
        }
        let later: Vec<u64> = self.storage.list()?.into_iter().filter(|n| *n > segment).collect();
        let Some(next) = later.first().copied() else { return Ok(true) };
        if segment > 0 {
            let superseded_from = superseded_from(&self.storage, &later)?;
            self.read_segment(u64::MAX, superseded_from, &mut visit)?;
        }
        self.position = Position { segment: next, offset: HEADER_BYTES };
        Ok(self.position >= end)
    }

    fn read_segment(
        &mut self,
        end: u64,
        superseded_from: u64,
        visit: &mut impl FnMut(&Record),
    ) -> io::Result<()> {
        let Position { segment, offset } = self.position;
        let file = self.storage.open(segment)?;
        let bytes = read_range(&*file, offset, end.min(file.length()?))?;
        for item in scan(&bytes, offset) {
            let Item::Record(record, _) = item else { continue };
            if record.number < self.next_record || record.number >= superseded_from {
                continue;
            }
            if record.number > self.next_record && self.next_record > 0 {
                tracing::error!(
                    segment,
                    from = self.next_record,
                    to = record.number,
                    "usage records are missing from the ledger"
                );
            }
            self.next_record = record.number + 1;
            visit(&record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::record;
    use super::*;

    fn numbers(bytes: &[u8]) -> Vec<Result<u64, (u64, u64)>> {
        scan(bytes, 100)
            .map(|item| match item {
                Item::Record(record, _) => Ok(record.number),
                Item::Hole(from, to) => Err((from - 100, to - 100)),
            })
            .collect()
    }

    #[test]
    fn records_behind_a_hole_are_found_again() {
        let mut bytes = Vec::new();
        for number in 1..=3 {
            record(1, 1).encode(number, &mut bytes);
        }
        let length = (bytes.len() / 3) as u64;
        assert_eq!(numbers(&bytes), [Ok(1), Ok(2), Ok(3)]);
        bytes[150] ^= 1;
        assert_eq!(numbers(&bytes), [Ok(1), Err((length, 2 * length)), Ok(3)]);
        bytes.truncate(bytes.len() - 1);
        assert_eq!(numbers(&bytes), [Ok(1), Err((length, 3 * length - 1))]);
    }
}
