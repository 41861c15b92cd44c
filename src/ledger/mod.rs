//! The ledger: the append-only record of every charge, on disk before the answer goes out.
//!
//! # What it promises
//!
//! 1. [`Ledger::append`] returns after the record has been handed to the kernel in one write: `kill -9` at any later
//!    moment loses nothing. [`Ledger::durable`] returns after it is on disk.
//! 2. A record number is given once. Numbers grow by one from record to record, across segments and restarts.
//! 3. After a failed write or sync nothing more is written to that segment: what was not synced is written again
//!    under the same numbers into a new one, and until that succeeds every append fails.
//! 4. Requests write, and nothing else: files are made, synced, rolled and removed by one thread.
//!
//! # The format
//!
//! `data_dir/ledger/NNNNNNNNNNNNNNNN.seg`, numbered from 1, all integers little-endian. A file's length is the end
//! of its data. Every start opens a new segment. A position is (segment, offset).
//!
//! A segment is a header of 128 bytes, then records:
//!
//! | offset | bytes | header |
//! |---|---|---|
//! | 0 | 8 | `TOLLGATE` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | reserved, 0 |
//! | 16 | 16 | ledger id, random, the same in all segments |
//! | 32 | 8 | segment number |
//! | 40 | 8 | number of its first record |
//! | 48 | 8 | made at, µs since the epoch |
//! | 56 | 4 | reserved, 0 |
//! | 60 | 4 | CRC-32C of bytes 0 to 60 |
//! | 64 | 32 | SHA-256 of the segment before, written once that one is finished; else zeros |
//! | 96 | 4 | CRC-32C of bytes 64 to 96 once written; else zeros |
//! | 100 | 28 | reserved, 0 |
//!
//! | offset | bytes | record |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 4 | CRC-32C of the body |
//! | 8 | 8 | record number |
//! | 16 | 8 | instant of settling, µs since the epoch |
//! | 24 | 16 | request id |
//! | 40 | 4 × 5 | customer, member (0: none), route, tier: numbers of names in the store; configuration's fingerprint |
//! | 60 | 8 × 2 | the period it counts in: start, end, seconds since the epoch |
//! | 76 | 8 | for a correction, the number of the record it corrects; else 0 |
//! | 84 | 2 | response status |
//! | 86 | 1 × 6 | kind (1 charge, 2 correction, 3 estimate), method, draws, length of the foreign request id, flags (1: a key, 2: an override, 32: in shadow), reserved |
//! | 92 | 28 × n | draws: meter (4), then included, credits, overage units (8 each, signed) |
//! | … | 16 | with that flag, a digest of the client's idempotency key and request |
//! | … | 8 × n | with that flag, by draw, units on an operator's override (signed) |
//! | … | | the foreign request id, when a trusted proxy sent one |
//!
//! # What a reader may rely on
//!
//! - Records at or after the first record number of a later segment are superseded: they stand there again.
//! - Names are never in the ledger, so that erasing a person breaks no checksum.
//! - Up to the last recorded sync (the position that the store has folded) every record is whole: anything else is
//!   damage. Behind it, after a loss of power, records may be torn or missing: good ones count, and the holes are told
//!   at the start, to be kept in the store, so that they are not taken for damage once the fold has passed them.

mod append;
mod chain;
mod copy;
mod fields;
mod format;
mod keeper;
mod latest;
mod recovery;
mod segment;
mod storage;
mod survey;
mod verify;
mod waiters;

pub use append::{Appended, Durability, Ledger, LedgerError, Options, Synced};
pub use copy::{CopyError, copy, copy_as, forget_before};
pub use format::{Header, Kind, LedgerId, Position, Record, RecordDraw, RecordLot};
pub use latest::{Charged, Latest};
pub use recovery::{Lost, OpenError, Resume};
pub use segment::Reader;
pub use storage::{Disk, SegmentFile, Storage};
pub use survey::{Segment, Survey};
pub use verify::{Damage, Expected, Fault, Verified, Verifier};
