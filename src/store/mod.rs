//! The store: `data_dir/tollgate.db`, a `SQLite` database in WAL mode.
//!
//! It holds what is computed from the ledger (totals, hourly usage, and how far they go), what must be durable
//! before an effect outside (outbox, inbox), and what is known of customers and subscriptions. A view of the ledger
//! and the position it reaches change in one transaction, so that a restart continues exactly where it was.
//!
//! One thread writes: it takes all jobs that wait, runs each in a savepoint of one transaction, commits with a sync
//! (`synchronous = FULL`), and only then answers them. A job that fails changes nothing; if the commit fails, all of
//! its jobs fail. Commands of other processes write too: a transaction takes the right to write before it reads. Two
//! threads read, one of them what takes long, on connections of their own: the writer holds up neither. A job there
//! sees all that was committed before it was asked for.
//!
//! Requests wait for the loads of customers alone, so the other two threads give way to the requests. A customer who
//! has never been seen waits for the writer, which may be in a batch of the ledger's totals.

mod adjustments;
mod alerts;
mod anonymous;
mod api_keys;
mod at_once;
mod audit;
mod backup;
mod checkouts;
mod closed_checkouts;
mod credits;
mod customers;
mod customers_list;
mod deliveries;
mod estimates;
mod facts;
mod forwards;
mod idempotency;
mod inbox;
mod inbox_view;
mod loading;
mod looks;
mod lost;
mod marks;
mod member_totals;
mod names;
mod notices;
mod operations;
mod outbox;
mod payments;
mod people;
mod reading;
mod receipts;
mod restored;
mod retention;
mod splitting;
mod states;
mod stats;
mod subscriptions;
mod sync_state;
mod totals;
mod totals_check;
mod usage_history;
mod weekly;
mod worker;

pub use adjustments::{Adjustments, OverrideRow};
pub use anonymous::AtRest;
pub use api_keys::{ApiKeyRow, NewApiKey, Replaced, Replacement};
pub use at_once::AtOnce;
pub use audit::{Act, AuditRow};
pub use backup::{Backup, add_numbered_since, adopt, back_up};
pub use checkouts::{CheckoutKind, CheckoutRow, OpenCheckout};
pub use closed_checkouts::{BegunCheckout, CheckoutEnd};
pub use credits::{CreditAct, CreditGrant, CreditKey, CreditRow, CreditUse, Grant};
pub use customers::{CustomerRow, LinkedBy, NewLink};
pub use customers_list::{CustomerFilter, CustomerListing, TierFilter};
pub use deliveries::{
    Delivery, DeliveryRow, DeliveryState, NoticeFilter, NoticeRow, Retry, Subscriber, Tried, Untold,
};
pub use estimates::Estimate;
pub use facts::{FactsToPut, FactsVersion, Merged};
pub use forwards::Forward;
pub use idempotency::{KeyChange, KeyNews, KeyRow};
pub use inbox::{EventCounts, EventFacts, InboxOutcome, InboxRow, NewEvent, Stored};
pub use inbox_view::{EventFilter, EventRow, Replayed};
pub use loading::{Loaded, Wanted};
pub use lost::LostRecords;
pub use member_totals::{MemberKey, MemberTotal, MemberUnits};
pub use names::NameKind;
pub use notices::NewNotice;
pub use operations::{Begun, Sha256Digest};
pub use outbox::{
    ARRIVED_BEFORE, Account, Due, FOUND_IN_SUM, FenceRow, FencedRow, Holdings, MinuteHoldings, Naming,
    NeverArrived, NewFence, OutboxCounts, OutboxFilter, OutboxRow, Outcome, RESEND_WITHIN_SECONDS, Reading,
    Rejection, Repair, RepairRow, RepairState, Retried, RetryOutcome, SealCursor, SealPlan, SealScope,
    Sealed, TakenAnswer, TakenEvent, TakenRow, Unanswered, Unsent, UnsentRow, UnsentTotal, WaitingEvent,
    retry_dead_in, row_of_total,
};
pub use payments::{PaymentKind, PaymentRow};
pub use people::{Erased, EventsOf, StillNeeded};
pub use reading::StoreReader;
pub use receipts::{MeterEventReceipt, TotalReceipt};
pub use restored::Restored;
pub use retention::Cutoffs;
pub use splitting::{Moved, Spanning, SplitBase};
pub use states::{State, StateChange};
pub use stats::{Conversion, CustomerCount, Paid, Question, Stats, Takings, TopCustomer};
pub use subscriptions::{Amount, Reread, Upsert};
pub use sync_state::Unheard;
pub use totals::{Batch, HourKey, HourUnits, Total, TotalKey, TotalUnits, UnitsByMeter};
pub use totals_check::{TotalDifference, TotalsCheck};
pub use usage_history::{UsageBy, UsageOf, UsageRow};
pub use weekly::Week;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

pub use worker::Paused;
use worker::{Begin, Haste, Worker};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the store's transaction failed: {0}")]
    Commit(String),
    #[error("the store is closed")]
    Closed,
    #[error(
        "the store was written by a newer version of tollgate (schema {0}); upgrade, or use another data_dir"
    )]
    Newer(i64),
    #[error(
        "the store was written by an older version of tollgate (schema {0}): start the gateway once, which migrates it"
    )]
    Older(i64),
    #[error("there is no store at {0}: check server.data_dir; the gateway makes it at its first start")]
    Missing(PathBuf),
    #[error("the store {path} cannot be read: {error}; run this as the user that runs the gateway")]
    Forbidden { path: PathBuf, error: std::io::Error },
    #[error("{0} is a backup: `tollgate restore` makes a data_dir of it, and nothing is run on it")]
    IsABackup(PathBuf),
    #[error(
        "{0} holds no backup: it is no folder that `tollgate backup` has filled, or one that it did not finish"
    )]
    IsNoBackup(PathBuf),
    #[error("the store holds something unreadable: {0}")]
    Unreadable(String),
}

type Result<T> = std::result::Result<T, StoreError>;

/// The open store. Cheap to share behind an `Arc`; typed operations are in the files of this room.
pub struct Store {
    writer: Worker,
    reader: Worker,
    scanner: Worker,
}

/// What leads from each version of the tables to the next, the first from none.
const MIGRATIONS: [&str; 10] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
    include_str!("schema/9.sql"),
    include_str!("schema/10.sql"),
];

/// The version of the tables.
pub const SCHEMA: usize = MIGRATIONS.len();

impl Store {
    /// Opens `tollgate.db` in `data_dir`, and makes or migrates its tables.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("tollgate.db");
        let writer = connect(&path)?;
        if version(&writer)? > 0 && backup::mark(&writer)?.is_some() {
            return Err(StoreError::IsABackup(data_dir.to_owned()));
        }
        migrate(&writer)?;
        Ok(Self {
            writer: Worker::spawn("store", writer, Begin::Write, Haste::GivesWay)?,
            reader: Worker::spawn("store-read", connect(&path)?, Begin::Read, Haste::Prompt)?,
            scanner: Worker::spawn("store-scan", connect(&path)?, Begin::Read, Haste::GivesWay)?,
        })
    }

    /// Lets another process write: what is asked of this one waits from now on, until it is known whether it goes on.
    /// Reading goes on meanwhile.
    pub async fn pause(&self) -> Paused {
        self.writer.pause().await
    }

    /// Runs a job in a transaction; its effects are durable when this returns.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(job).await
    }

    /// The same for plain threads.
    fn write_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run_blocking(job)
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reader.run(job).await
    }

    /// For reads that may take long: they hold up nobody who loads a customer.
    async fn scan<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.scanner.run(job).await
    }

    fn read_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reader.run_blocking(job)
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Of its tables; 0 where there are none.
fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// The same; an error when it is newer than this program.
fn known_version(connection: &Connection) -> Result<usize> {
    let version = version(connection)?;
    let known = usize::try_from(version).ok().filter(|known| *known <= MIGRATIONS.len());
    known.ok_or(StoreError::Newer(version))
}

fn migrate(connection: &Connection) -> Result<()> {
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(known_version(connection)?) {
        let reached = at + 1;
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE;\n{migration}\nPRAGMA user_version = {reached};\nCOMMIT;"
        ))?;
    }
    Ok(())
}

/// `SQLite`'s integers are signed; counts of units fit by far.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod credits_tests;
#[cfg(test)]
mod facts_tests;
#[cfg(test)]
mod idempotency_tests;
#[cfg(test)]
mod inbox_tests;
#[cfg(test)]
mod loading_tests;
#[cfg(test)]
mod tests;
