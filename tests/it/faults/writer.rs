//! Someone who writes to a ledger, and remembers what was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate::ledger::{Durability, Kind, Ledger, OpenError, Options, Record, Resume, Synced};

use super::disk::FaultyDisk;
use super::{LEDGER, record};

/// Small, so that a run rolls often: 16 records.
const SEGMENT_BYTES: u64 = 2_000;

pub struct Writer {
    pub disk: FaultyDisk,
    pub ledger: Ledger,
    /// Which record was accepted under which number; records are told apart by their customer.
    pub accepted: BTreeMap<u64, u32>,
    next_customer: u32,
}

/// A record whose last bytes are not zeros, so that a torn one is another.
pub fn charge(customer: u32, units: i64) -> Record {
    Record { foreign_request: Some([0xaa; 30].into()), ..record(customer, units) }
}

pub fn open(disk: &FaultyDisk, resume: Resume, durability: Durability) -> Result<Ledger, OpenError> {
    // Syncs come when they are asked for.
    let options =
        Options { durability, sync_interval: Duration::from_hours(1), segment_bytes: SEGMENT_BYTES };
    Ledger::open(Arc::new(disk.clone()), LEDGER, resume, options, 0)
}

impl Writer {
    pub fn new(disk: &FaultyDisk, durability: Durability) -> Result<Self, OpenError> {
        let ledger = open(disk, Resume::default(), durability)?;
        Ok(Self { disk: disk.clone(), ledger, accepted: BTreeMap::new(), next_customer: 1 })
    }

    /// Appends a record; answers its number if it was accepted.
    pub fn append(&mut self) -> Option<u64> {
        let customer = self.next_customer;
        self.next_customer += 1;
        let appended = self.ledger.append(&charge(customer, 1)).ok()?;
        let before = self.accepted.insert(appended.0, customer);
        assert_eq!(before, None, "number {} was given twice", appended.0);
        Some(appended.0)
    }

    /// Waits until everything accepted is durable, or the machine is off.
    pub fn sync(&self) {
        let target = self.ledger.request_sync();
        while self.synced().next_record < target && !self.disk.ended() {
            std::thread::yield_now();
        }
    }

    /// Waits until appends are expected to work, or the machine is off.
    pub fn recover(&self) {
        while !self.ledger.is_available() && !self.disk.ended() {
            std::thread::yield_now();
        }
    }

    pub fn synced(&self) -> Synced {
        *self.ledger.synced().borrow()
    }
}

/// Every record of an open ledger as far as it is durable, by number; panics when a number comes twice.
pub fn records(ledger: &Ledger) -> BTreeMap<u64, u32> {
    let end = ledger.synced().borrow().position;
    let mut reader = ledger.reader(Resume::default());
    let mut records = BTreeMap::new();
    let mut last = 0;
    loop {
        let reached = reader.read(end, |record| {
            assert!(record.number > last, "{} comes after {last}", record.number);
            let units = if record.kind == Kind::Charge { 1 } else { -1 };
            let written =
                Record { number: record.number, kind: record.kind, ..charge(record.customer, units) };
            assert_eq!(*record, written, "not as it was written");
            last = record.number;
            records.insert(record.number, record.customer);
        });
        // A read that failed is made again.
        if reached.unwrap_or(false) {
            return records;
        }
    }
}
