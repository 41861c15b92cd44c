//! Copies: into a backup, while somebody writes, and out of one, as another ledger.
//!
//! - A copy holds what a [`Survey`] has found: every segment that had a successor whole, and the newest as far as it
//!   went then. So it is a ledger as a kill at that moment would have left it.
//! - What a copy has already is not copied again: a segment only grows.
//! - As another ledger every segment has that one's id, and so other hashes. What the old hashes say is checked first.

use std::io;

use sha2::{Digest, Sha256};

use super::format::{HEADER_BYTES, Header, LINK_BYTES, LedgerId};
use super::segment::{read_header, read_range};
use super::storage::Storage;
use super::survey::{Segment, Survey};

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the ledger's copy cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error(
        "segment {segment:016}.seg there is another one: name a folder that is empty, or holds a backup of this ledger"
    )]
    Foreign { segment: u64 },
    #[error("segment {segment:016}.seg was removed while it was copied: run it again")]
    Gone { segment: u64 },
    #[error(
        "segment {segment:016}.seg has been changed since the next one was linked to it: this backup is damaged"
    )]
    Changed { segment: u64 },
}

/// Brings a copy up to date with a survey. `copied` hears of bytes that are done with. What the source has pruned
/// stays: see [`forget_before`].
pub fn copy(survey: &Survey, to: &dyn Storage, mut copied: impl FnMut(u64)) -> Result<(), CopyError> {
    let there = to.list()?;
    // The newest may just be being made: then the one before it may have grown since.
    let last = survey.segments().iter().rposition(|segment| segment.header.is_some());
    for segment in survey.segments().iter().take(last.map_or(0, |last| last + 1)) {
        let is_there = there.binary_search(&segment.number).is_ok();
        copy_segment(survey, segment, to, is_there)?;
        copied(segment.length);
    }
    Ok(to.sync_folder()?)
}

fn copy_segment(
    survey: &Survey,
    segment: &Segment,
    to: &dyn Storage,
    is_there: bool,
) -> Result<(), CopyError> {
    let number = segment.number;
    // Pruned meanwhile: nobody needs it.
    let Some(head) = survey.part(segment, 0, HEADER_BYTES)? else { return Ok(()) };
    let file = if is_there { to.open(number)? } else { to.create(number)? };
    // The head is written last: without one a copy was cut off, and nothing of it counts.
    let has = match read_header(&*file)? {
        None => 0,
        there if there == segment.header => file.length()?,
        Some(_) => return Err(CopyError::Foreign { segment: number }),
    };
    // The link is written when there are records already: a head that is the same is not enough, and a length neither.
    if has == segment.length && read_range(&*file, 0, HEADER_BYTES)? == head {
        return Ok(());
    }
    let from = has.min(segment.length).max(HEADER_BYTES.min(segment.length));
    let Some(rest) = survey.part(segment, from, segment.length)? else { return Ok(to.remove(number)?) };
    file.write_at(&rest, from)?;
    file.write_at(&head, 0)?;
    file.truncate(segment.length)?;
    Ok(file.sync()?)
}

/// Removes from a copy the segments that the source no longer has.
pub fn forget_before(survey: &Survey, to: &dyn Storage) -> io::Result<()> {
    let Some(first) = survey.segments().first() else { return Ok(()) };
    for gone in to.list()?.into_iter().filter(|number| *number < first.number) {
        to.remove(gone)?;
    }
    to.sync_folder()
}

/// Copies a ledger that nobody writes into an empty folder, as another ledger.
pub fn copy_as(
    survey: &Survey,
    to: &dyn Storage,
    ledger: LedgerId,
    mut copied: impl FnMut(u64),
) -> Result<(), CopyError> {
    let mut before: Option<Hashes> = None;
    for segment in survey.segments() {
        let number = segment.number;
        let mut bytes =
            survey.part(segment, 0, segment.length)?.ok_or(CopyError::Gone { segment: number })?;
        let was = Sha256::digest(&bytes).into();
        if let Some(header) = segment.header {
            relabel(&mut bytes, Header { ledger, ..header }, before.as_ref())?;
        }
        let file = to.create(number)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        before = Some(Hashes { segment: number, was, is: Sha256::digest(&bytes).into() });
        copied(segment.length);
    }
    Ok(to.sync_folder()?)
}

/// A segment's hash as it was, and as it is.
struct Hashes {
    segment: u64,
    was: [u8; 32],
    is: [u8; 32],
}

/// Gives a segment another head. A link to what is not there any more stays as it is.
fn relabel(bytes: &mut [u8], header: Header, before: Option<&Hashes>) -> Result<(), CopyError> {
    let unlinked = header.encode();
    let linked = bytes[LINK_BYTES].iter().any(|byte| *byte != 0);
    bytes[..LINK_BYTES.start].copy_from_slice(&unlinked[..LINK_BYTES.start]);
    let Some(before) = before.filter(|_| linked) else { return Ok(()) };
    if bytes[LINK_BYTES] != Header::link(before.was).1 {
        return Err(CopyError::Changed { segment: before.segment });
    }
    bytes[LINK_BYTES].copy_from_slice(&Header::link(before.is).1);
    Ok(())
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
