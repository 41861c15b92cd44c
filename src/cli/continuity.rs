//! Whether what was read of the ledger is all that was written: record numbers grow by one, so a number that is missing
//! is a record that was changed or removed.

use anyhow::anyhow;

use crate::ledger::{Lost, Segment};

use super::books::Books;

/// Sees the records of a read, in order.
pub(super) struct Continuity {
    next: u64,
    /// Every record below it has been synced, so that it must be there.
    until: u64,
    lost: Vec<Lost>,
    first_gap: Option<(u64, u64)>,
}

impl Continuity {
    /// `first` is the segment in which the read begins.
    pub fn new(books: &Books, first: Option<&Segment>) -> anyhow::Result<Self> {
        let (_, _, until) = books.store.folded()?;
        let next = first.and_then(|segment| segment.header).map_or(until, |header| header.first_record);
        Ok(Self { next, until, lost: books.losses()?, first_gap: None })
    }

    pub fn see(&mut self, number: u64) {
        self.reach(number);
        self.next = number + 1;
    }

    /// The read has come to the ledger's end. An error names the first records that are missing.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.reach(self.until);
        match self.first_gap {
            None => Ok(()),
            Some((from, to)) => Err(anyhow!(
                "the ledger is damaged: records {from} to {to} are missing or unreadable; \
                 `tollgate ledger verify` shows the extent"
            )),
        }
    }

    fn reach(&mut self, number: u64) {
        let to = number.saturating_sub(1);
        let is_known =
            self.lost.iter().any(|lost| (lost.from..=lost.to).contains(&self.next) && to <= lost.to);
        if number > self.next && !is_known {
            self.first_gap.get_or_insert((self.next, to));
        }
    }
}
