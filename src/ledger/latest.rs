//! The latest charges of one customer, read backwards from the ledger's end.

use std::collections::HashMap;
use std::io;

use super::format::{Kind, Record};
use super::survey::Survey;

/// A charge with what was changed about it later.
#[derive(Clone, Debug, PartialEq)]
pub struct Charged {
    pub record: Record,
    /// The segment that holds it.
    pub segment: u64,
    /// The records that correct it or go on with it, the latest last.
    pub corrections: Vec<Record>,
}

/// Charges, the latest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latest {
    pub charges: Vec<Charged>,
    /// False: there may be earlier ones, which were not looked for.
    pub complete: bool,
}

impl Survey {
    /// At most `limit` charges of a customer, looked for in segments of at most `bytes` bytes together, but for the
    /// last one, which is always read.
    pub fn latest(&self, customer: u32, limit: usize, bytes: u64) -> io::Result<Latest> {
        let mut charges = Vec::new();
        // A correction stands behind what it corrects.
        let mut corrections: HashMap<u64, Vec<Record>> = HashMap::new();
        let mut read = 0;
        for segment in self.segments().iter().rev() {
            if read > 0 && read + segment.length > bytes {
                return Ok(Latest { charges, complete: false });
            }
            read += segment.length;
            let mut found = Vec::new();
            self.records(segment, 0, |record| {
                if record.customer == customer {
                    found.push(record.clone());
                    // Nobody asks for more: what it needs of memory is bounded, but for corrections.
                    if found.len() > 2 * limit.max(1_000) {
                        keep_last(&mut found, limit, &mut corrections);
                    }
                }
            })?;
            keep_last(&mut found, limit, &mut corrections);
            for record in found.into_iter().rev() {
                if charges.len() == limit {
                    return Ok(Latest { charges, complete: false });
                }
                let mut corrections = changes(&record, &mut corrections);
                corrections.sort_by_key(|correction| correction.number);
                charges.push(Charged { record, segment: segment.number, corrections });
            }
        }
        Ok(Latest { charges, complete: true })
    }
}

/// What changed a charge: its corrections, and its slices with theirs.
fn changes(charge: &Record, corrections: &mut HashMap<u64, Vec<Record>>) -> Vec<Record> {
    let mut changes = corrections.remove(&charge.number).unwrap_or_default();
    let slices: Vec<u64> =
        changes.iter().filter(|change| !is_correction(change)).map(|slice| slice.number).collect();
    for slice in slices {
        changes.extend(corrections.remove(&slice).unwrap_or_default());
    }
    changes
}

fn is_correction(record: &Record) -> bool {
    matches!(record.kind, Kind::Correction { .. })
}

/// Puts corrections aside and lets go of all but the latest charges; one more than asked for tells that there are more.
fn keep_last(found: &mut Vec<Record>, limit: usize, corrections: &mut HashMap<u64, Vec<Record>>) {
    found.retain(|record| match record.kind {
        Kind::Correction { of } | Kind::Slice { of } => {
            corrections.entry(of).or_default().push(record.clone());
            false
        }
        Kind::Charge | Kind::Estimate => true,
    });
    let beyond = found.len().saturating_sub(limit + 1);
    found.drain(..beyond);
}

#[cfg(test)]
#[path = "latest_tests.rs"]
mod tests;
