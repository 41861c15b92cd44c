//! A thread that owns a connection and runs jobs on it: writing ones many to a transaction, reading ones each in its
//! own.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Result, StoreError};
use crate::priority;

/// The most jobs that share a transaction: the first of them waits for the last.
const JOBS_PER_COMMIT: usize = 256;

/// Runs the work and hands back what tells the caller, once it is known whether the commit succeeded.
type Job = Box<dyn FnOnce(&Connection) -> Answer + Send>;
type Answer = Box<dyn FnOnce(std::result::Result<(), String>) + Send>;

/// How a worker's transactions begin.
#[derive(Clone, Copy)]
pub(super) enum Begin {
    /// A view of the database that no writer changes. It is younger than the job that asked for it: what was committed
    /// before somebody asked is seen, so jobs never share one.
    Read,
    /// With the right to write: a transaction that has read could not get it any more once another process has
    /// written, and would fail.
    Write,
}

impl Begin {
    fn sql(self) -> &'static str {
        match self {
            Self::Read => "BEGIN",
            Self::Write => "BEGIN IMMEDIATE",
        }
    }

    fn jobs_per_transaction(self) -> usize {
        match self {
            Self::Read => 1,
            Self::Write => JOBS_PER_COMMIT,
        }
    }
}

/// Whether requests wait for what a worker does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    Prompt,
    GivesWay,
}

pub(super) struct Worker {
    begin: Begin,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub fn spawn(name: &str, connection: Connection, begin: Begin, haste: Haste) -> Result<Self> {
        let (jobs, queue) = channel();
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                if haste == Haste::GivesWay {
                    priority::give_way();
                }
                work(&connection, &queue, begin);
            })
            .map_err(|error| StoreError::Commit(error.to_string()))?;
        Ok(Self { begin, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job and waits for its outcome, which is known after the commit.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (caller, outcome) = oneshot::channel();
        // A caller that no longer waits needs no answer, here and below.
        self.submit(job, move |result| drop(caller.send(result)));
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// The same for plain threads.
    pub fn run_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (caller, outcome) = channel();
        self.submit(job, move |result| drop(caller.send(result)));
        outcome.recv().map_err(|_| StoreError::Closed)?
    }

    /// When the store is closed the job is dropped, and with it the caller's end of its channel.
    fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
        tell: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let begin = self.begin;
        let job: Job = Box::new(move |connection| {
            let result = match begin {
                // It is alone in its transaction, and leaves nothing to roll back.
                Begin::Read => job(connection),
                Begin::Write => in_savepoint(connection, job),
            };
            Box::new(move |commit| tell(commit.map_err(StoreError::Commit).and(result)))
        });
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(job));
        }
    }
}

impl Drop for Worker {
    /// Finishes what is queued.
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn in_savepoint<T>(connection: &Connection, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    // SQLite ends a transaction by itself after some errors; without one a savepoint would commit on its own.
    if connection.is_autocommit() {
        return Err(StoreError::Commit("the transaction was lost".into()));
    }
    connection.execute_batch("SAVEPOINT job")?;
    let result = job(connection);
    if connection.is_autocommit() {
        return result.and(Err(StoreError::Commit("the transaction was lost".into())));
    }
    let end = if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    connection.execute_batch(end)?;
    result
}

fn work(connection: &Connection, queue: &Receiver<Job>, begin: Begin) {
    while let Ok(first) = queue.recv() {
        let opened = run(connection, begin.sql());
        let answers: Vec<Answer> = std::iter::once(first)
            .chain(queue.try_iter().take(begin.jobs_per_transaction() - 1))
            .map(|job| job(connection))
            .collect();
        let committed = opened.and_then(|()| run(connection, "COMMIT"));
        if let Err(error) = &committed {
            tracing::error!(%error, "a transaction of the store failed");
            // Fails when there is nothing to roll back; then there is nothing to do either.
            let _ = connection.execute_batch("ROLLBACK");
        }
        let committed = committed.map_err(|error| error.to_string());
        for answer in answers {
            answer(committed.clone());
        }
    }
}

/// A statement that comes with every transaction: it is prepared once.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
