//! The chain: the header of each segment holds the hash of the segment before, so that a changed or missing one shows.
//!
//! The hash covers the whole file, its own link included. It grows with every sync, from the bytes that were just
//! synced: a finished segment is not read again, which would take a core from requests. What memory cannot vouch for (a
//! segment of an earlier run, or one that a failure has touched) is read from its file.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::format::Header;
use super::segment::read_range;
use super::storage::{SegmentFile, Storage};

/// A segment is read in pieces of this size to be hashed.
const HASHED_AT_ONCE: u64 = 256 << 10;

#[derive(Default)]
pub(super) struct Chain {
    /// The newest segment, as its file stands; none when that is not known.
    newest: Option<Hashed>,
}

/// A segment up to its last sync.
struct Hashed {
    segment: u64,
    bytes: u64,
    hash: Sha256,
}

impl Chain {
    /// What the newest segment holds now behind what was added before.
    pub fn add(&mut self, synced: &[u8]) {
        if let Some(newest) = &mut self.newest {
            newest.hash.update(synced);
            newest.bytes += synced.len() as u64;
        }
    }

    /// The newest segment is another one than the one that was linked, or holds other bytes than were added.
    pub fn forget(&mut self) {
        self.newest = None;
    }

    /// Writes the hash of the segment before into a segment that has been made with `header`, which is the newest from
    /// now on.
    pub fn link(
        &mut self,
        storage: &Arc<dyn Storage>,
        file: &dyn SegmentFile,
        header: Header,
    ) -> io::Result<()> {
        // An error below leaves bytes in the file that nobody knows.
        let finished = self.newest.take();
        let mut head = header.encode();
        let before = storage.list()?.into_iter().rev().find(|number| *number < header.segment);
        if let Some(before) = before {
            let before_file = storage.open(before)?;
            let hash = match finished {
                Some(finished) if finished.is_all_of(before, &*before_file)? => {
                    finished.hash.finalize().into()
                }
                _ => hash_of(&*before_file)?,
            };
            let (offset, link) = Header::link(hash);
            file.write_at(&link, offset as u64)?;
            head[offset..offset + link.len()].copy_from_slice(&link);
        }
        let hash = Sha256::new_with_prefix(&head);
        self.newest = Some(Hashed { segment: header.segment, bytes: head.len() as u64, hash });
        Ok(())
    }
}

impl Hashed {
    /// A failed write may have left a part behind the last sync.
    fn is_all_of(&self, segment: u64, file: &dyn SegmentFile) -> io::Result<bool> {
        Ok(self.segment == segment && self.bytes == file.length()?)
    }
}

fn hash_of(file: &dyn SegmentFile) -> io::Result<[u8; 32]> {
    let (mut hash, mut at) = (Sha256::new(), 0);
    loop {
        let piece = read_range(file, at, at + HASHED_AT_ONCE)?;
        if piece.is_empty() {
            return Ok(hash.finalize().into());
        }
        hash.update(&piece);
        at += piece.len() as u64;
    }
}
