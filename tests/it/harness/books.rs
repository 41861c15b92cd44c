//! The books: what clients saw, what the ledger holds, what the store made of it, what Stripe counted; of one gateway,
//! or of several together.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OpenFlags, Row};
use tempfile::TempDir;
use tollgate::ledger::{Disk, Position, Reader, Record, RecordDraw, Storage};
use uuid::Uuid;

use super::stripe::Metered;
use super::{PATIENCE, World, lock};

/// Our customer and a meter.
pub type Account = (String, String);

/// What clients were told.
#[derive(Default)]
pub struct Seen {
    accounts: Mutex<BTreeMap<Account, Told>>,
}

#[derive(Clone, Copy, Default)]
struct Told {
    charged: u64,
    /// Of requests whose whole answer never came: they may have been charged.
    doubtful: u64,
}

impl Seen {
    /// An answer said what it cost: `api_calls=2, bytes=512`.
    pub fn charged(&self, customer: &str, usage_cost: &str) {
        for (meter, units) in parse_cost(usage_cost) {
            self.told(customer, &meter, |told| told.charged += units);
        }
    }

    /// An answer broke off: its charge may have been taken back.
    pub fn in_doubt(&self, customer: &str, units: u64) {
        self.told(customer, "api_calls", |told| told.doubtful += units);
    }

    /// The charge of an answer that broke off is no longer certain.
    pub fn broke_off(&self, customer: &str, usage_cost: &str) {
        for (meter, units) in parse_cost(usage_cost) {
            self.told(customer, &meter, |told| {
                told.charged -= units;
                told.doubtful += units;
            });
        }
    }

    /// What one customer was told, and what is in doubt, on the meter of the tests.
    pub fn of(&self, customer: &str) -> (u64, u64) {
        let accounts = lock(&self.accounts);
        let told = accounts.get(&(customer.to_owned(), "api_calls".to_owned()));
        told.map_or((0, 0), |told| (told.charged, told.doubtful))
    }

    /// What all customers together were told, and what is in doubt.
    pub fn sums(&self) -> (u64, u64) {
        let accounts = lock(&self.accounts);
        accounts.values().fold((0, 0), |sum, told| (sum.0 + told.charged, sum.1 + told.doubtful))
    }

    /// What one customer was told stands under another name from now on.
    pub fn renamed(&self, from: &str, to: &str) {
        let mut accounts = lock(&self.accounts);
        let moved = accounts.extract_if(.., |(customer, _), _| customer == from).collect::<Vec<_>>();
        accounts.extend(moved.into_iter().map(|((_, meter), told)| ((to.to_owned(), meter), told)));
    }

    fn told(&self, customer: &str, meter: &str, change: impl FnOnce(&mut Told)) {
        let mut accounts = lock(&self.accounts);
        change(accounts.entry((customer.to_owned(), meter.to_owned())).or_default());
    }
}

/// The units of an `x-usage-cost`, but for those that are only held: what they come to is told by nothing but the truth.
pub fn parse_cost(usage_cost: &str) -> Vec<(String, u64)> {
    let members = usage_cost.split(',').filter(|member| !member.ends_with(";held"));
    let pairs = members.filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(meter, units)| (meter.to_owned(), units.parse().expect("units"))).collect()
}

/// One account as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub stripe_customer: Option<String>,
    /// Settled units.
    pub units: i64,
    /// What of them Stripe shall hear of and has gone into the outbox.
    pub sealed: i64,
    /// What is in the outbox, delivered or not.
    pub outbox: i64,
}

/// Every account in the store of a `data_dir`, read while the gateway runs.
pub fn kept(data_dir: &Path) -> BTreeMap<Account, Kept> {
    let store = open(data_dir);
    let mut query = store.prepare(KEPT).expect("the store's tables");
    let rows = query.query_map([], read_kept).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

const KEPT: &str = "
    SELECT c.name, m.name, c.stripe_customer, sum(t.included + t.extra + t.credits + t.overage + t.uncovered), sum(t.sealed),
           (SELECT coalesce(sum(value), 0) FROM outbox o WHERE o.customer = t.customer AND o.meter = t.meter
                                                                AND o.kind = 'usage' AND o.fence IS NULL)
    FROM totals t JOIN customers c ON c.number = t.customer JOIN names m ON m.number = t.meter
    GROUP BY t.customer, t.meter";

fn read_kept(row: &Row<'_>) -> rusqlite::Result<(Account, Kept)> {
    let kept =
        Kept { stripe_customer: row.get(2)?, units: row.get(3)?, sealed: row.get(4)?, outbox: row.get(5)? };
    Ok(((row.get(0)?, row.get(1)?), kept))
}

/// Whether, at one moment, all that Stripe shall hear of is sealed and nothing of it waits.
pub fn nothing_waits(data_dir: &Path) -> bool {
    let nothing = "SELECT NOT EXISTS (SELECT 1 FROM totals WHERE sealable AND reportable > sealed)
                      AND NOT EXISTS (SELECT 1 FROM outbox WHERE state = 'pending')";
    open(data_dir).query_row(nothing, [], |row| row.get(0)).expect("an answer")
}

/// What Stripe has accepted, by the store. Repairs stand in for what it lost of that, and what was taken over of a lost
/// machine is in that one's own store.
fn delivered(data_dir: &Path) -> Metered {
    let store = open(data_dir);
    let mut query = store
        .prepare(
            "SELECT stripe_customer, event_name, sum(value) FROM outbox WHERE state = 'delivered' AND kind = 'usage' AND fence IS NULL
             GROUP BY stripe_customer, event_name",
        )
        .expect("the store's tables");
    let row = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned()));
    let rows = query.query_map([], row).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

/// Units and timestamp of every batch in the outbox, oldest first.
pub fn batches(data_dir: &Path) -> Vec<(i64, i64)> {
    let store = open(data_dir);
    let mut query =
        store.prepare("SELECT value, timestamp FROM outbox ORDER BY timestamp").expect("an outbox");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

/// How many webhook events in the inbox are like this.
pub fn events(data_dir: &Path, like: &str) -> u64 {
    let count = format!("SELECT count(*) FROM inbox WHERE {like}");
    open(data_dir).query_row(&count, [], |row| row.get::<_, i64>(0)).expect("a count").cast_unsigned()
}

/// What waits in the outbox is due now, as if its pause had passed: the pauses have tests of their own.
pub fn let_pauses_pass(data_dir: &Path) {
    if is_elsewhere(data_dir) {
        return;
    }
    let store = Connection::open(data_dir.join("tollgate.db")).expect("a store");
    store.busy_timeout(PATIENCE).expect("a store");
    store.execute("UPDATE outbox SET next_try_at = 0 WHERE state = 'pending'", []).expect("an outbox");
}

/// The store, or a copy of it.
struct Opened {
    store: Connection,
    _copy: Option<TempDir>,
}

impl Deref for Opened {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.store
    }
}

fn open(data_dir: &Path) -> Opened {
    let copy = is_elsewhere(data_dir).then(|| copy(data_dir));
    let folder = copy.as_ref().map_or(data_dir, TempDir::path);
    // Reading what was copied with its log takes writing an index of that.
    let flags = if copy.is_some() { OpenFlags::default() } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let store = Connection::open_with_flags(folder.join("tollgate.db"), flags).expect("a store");
    Opened { store, _copy: copy }
}

/// In another mount namespace, whose paths `SQLite` does not find.
fn is_elsewhere(data_dir: &Path) -> bool {
    data_dir.starts_with("/proc")
}

/// Copies a store at one moment: its file stands still between two checkpoints.
fn copy(data_dir: &Path) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let changed =
        || fs::metadata(data_dir.join("tollgate.db")).and_then(|file| file.modified()).expect("a store");
    loop {
        let before = changed();
        for name in ["tollgate.db", "tollgate.db-wal"] {
            fs::copy(data_dir.join(name), folder.path().join(name)).expect("a store");
        }
        if changed() == before {
            return folder;
        }
    }
}

/// The sum of all records in the ledger's segments, corrections taken off.
pub fn in_segments(data_dir: &Path) -> i64 {
    let mut units = 0;
    each_record(data_dir, |record| units += units_of(record));
    units
}

/// The same for each request, by its id.
pub fn metered(data_dir: &Path) -> BTreeMap<String, i64> {
    let mut units = BTreeMap::<String, i64>::new();
    each_record(data_dir, |record| {
        *units.entry(Uuid::from_bytes(record.request).to_string()).or_default() += units_of(record);
    });
    units
}

/// What was served in shadow is charged to nobody.
fn units_of(record: &Record) -> i64 {
    if record.in_shadow {
        return 0;
    }
    record.draws.iter().map(RecordDraw::units).sum()
}

fn each_record(data_dir: &Path, mut visit: impl FnMut(&Record)) {
    let disk = Arc::new(Disk::open(data_dir.join("ledger")).expect("a ledger"));
    let last = disk.list().expect("a ledger").last().copied().unwrap_or(0);
    let end = Position { segment: last, offset: u64::MAX };
    let mut reader = Reader::new(disk, Position { segment: 0, offset: 0 }, 0);
    while !reader.read(end, &mut visit).expect("a readable ledger") {}
}

/// Panics unless every unit is where it belongs: what clients saw is what the ledgers hold; what was sealed
/// of it is in the outboxes; what was delivered from there is what Stripe counted. Of all nodes together.
pub fn assert_balanced(seen: &Seen, data_dirs: &[&Path], metered: &Metered) {
    let mut all = BTreeMap::<Account, Kept>::new();
    let mut delivered_by_all = Metered::new();
    for data_dir in data_dirs {
        let kept = kept(data_dir);
        let folded: i64 = kept.values().map(|account| account.units).sum();
        assert_eq!(
            in_segments(data_dir),
            folded,
            "the segments (left) and the store's totals (right) differ"
        );
        for (account, kept) in kept {
            assert_sealed(&account, &kept);
            all.entry(account).or_default().units += kept.units;
        }
        for (account, units) in delivered(data_dir) {
            *delivered_by_all.entry(account).or_default() += units;
        }
    }
    assert_ledger_is_what_clients_saw(seen, &all);
    assert_eq!(delivered_by_all, *metered, "what was delivered (left) is not what Stripe counted (right)");
}

fn assert_sealed(account: &Account, kept: &Kept) {
    assert_eq!(kept.sealed, kept.outbox, "{account:?}: sealed (left) is not what is in the outbox (right)");
    // Who has been erased was linked before.
    let linked = kept.stripe_customer.is_some() || account.0.starts_with("erased ");
    assert!(linked || kept.sealed == 0, "{account:?} has no link, and yet was sealed");
}

fn assert_ledger_is_what_clients_saw(seen: &Seen, kept: &BTreeMap<Account, Kept>) {
    let seen = lock(&seen.accounts);
    let known = |account: &Account| kept.get(account).map_or(0, |kept| kept.units);
    for (account, told) in seen.iter() {
        let (charged, doubtful) = (told.charged.cast_signed(), told.doubtful.cast_signed());
        let units = known(account);
        assert!(
            (charged..=charged + doubtful).contains(&units),
            "{account:?}: clients saw {charged} units and {doubtful} are in doubt, the ledger holds {units}"
        );
    }
    for (account, kept) in kept {
        assert!(
            kept.units == 0 || seen.contains_key(account),
            "nobody saw the {} of {account:?}",
            kept.units
        );
    }
}

impl World {
    /// Units and timestamp of every batch that was sealed, oldest first.
    pub fn batches(&self) -> Vec<(i64, i64)> {
        batches(&self.gateway.data_dir)
    }

    /// Webhook events stored so far.
    pub fn received_events(&self) -> u64 {
        events(&self.gateway.data_dir, "1 = 1")
    }

    /// Webhook events that are stored and not applied yet.
    pub fn waiting_events(&self) -> u64 {
        events(&self.gateway.data_dir, "state = 'pending'")
    }
}
