//! A thread that owns a connection and runs jobs on it, many to a transaction.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Result, StoreError};

/// The most jobs that share a transaction: the first of them waits for the last.
const JOBS_PER_COMMIT: usize = 256;

/// Runs the work and hands back what tells the caller, once it is known whether the commit succeeded.
type Job = Box<dyn FnOnce(&Connection) -> Answer + Send>;
type Answer = Box<dyn FnOnce(std::result::Result<(), String>) + Send>;

/// What a worker's transactions are for.
#[derive(Clone, Copy)]
pub(super) enum Begin {
    /// The right to write is taken first, and waited for: a job that read before another process wrote could not
    /// write any more.
    Writing,
    Reading,
}

impl Begin {
    fn statement(self) -> &'static str {
        match self {
            Self::Writing => "BEGIN IMMEDIATE",
            Self::Reading => "BEGIN",
        }
    }
}

pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub fn spawn(name: &str, connection: Connection, begin: Begin) -> Result<Self> {
        let (jobs, queue) = channel();
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || work(&connection, begin, &queue))
            .map_err(|error| StoreError::Commit(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
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
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, job);
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

fn work(connection: &Connection, begin: Begin, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let ready = connection.execute_batch(begin.statement());
        let answers: Vec<Answer> = std::iter::once(first)
            .chain(queue.try_iter().take(JOBS_PER_COMMIT - 1))
            .map(|job| job(connection))
            .collect();
        let committed = ready.and_then(|()| connection.execute_batch("COMMIT"));
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
