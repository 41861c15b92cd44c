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

/// What is queued.
enum Task {
    Job(Job),
    Pause(Pause),
}

/// Nothing more is done until it is known how to go on.
struct Pause {
    begun: oneshot::Sender<()>,
    told: Receiver<GoOn>,
}

impl Pause {
    fn wait(self) -> GoOn {
        // Who has left since does not say how to go on.
        let _ = self.begun.send(());
        self.told.recv().unwrap_or(GoOn::Yes)
    }
}

/// Whether what was queued meanwhile is done. Who does not say lets it be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoOn {
    Yes,
    No,
}

/// A worker that does nothing, until it is told or this is dropped.
#[must_use = "dropping it lets the worker go on"]
pub struct Paused(Sender<GoOn>);

impl Paused {
    /// It never does anything again: whatever is asked of it fails.
    pub fn for_good(self) {
        // A worker that is gone does nothing either.
        let _ = self.0.send(GoOn::No);
    }
}

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
    jobs: Option<Sender<Task>>,
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

    /// Finishes what is queued, and then does nothing. Returns when that is so.
    pub async fn pause(&self) -> Paused {
        let (tell, told) = channel();
        let (begun, has_begun) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(Task::Pause(Pause { begun, told })));
        }
        // An error means that it is gone.
        let _ = has_begun.await;
        Paused(tell)
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
            drop(jobs.send(Task::Job(job)));
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

fn work(connection: &Connection, queue: &Receiver<Task>, begin: Begin) {
    let mut next = queue.recv().ok();
    while let Some(task) = next.take() {
        let first = match task {
            Task::Job(job) => job,
            Task::Pause(pause) => {
                if pause.wait() == GoOn::No {
                    return;
                }
                next = queue.recv().ok();
                continue;
            }
        };
        let opened = run(connection, begin.sql());
        let mut answers = vec![first(connection)];
        while answers.len() < begin.jobs_per_transaction()
            && let Ok(task) = queue.try_recv()
        {
            match task {
                Task::Job(job) => answers.push(job(connection)),
                pause @ Task::Pause(_) => {
                    next = Some(pause);
                    break;
                }
            }
        }
        finish(connection, opened, answers);
        next = next.or_else(|| queue.recv().ok());
    }
}

/// Commits, and tells whoever waits.
fn finish(connection: &Connection, opened: rusqlite::Result<()>, answers: Vec<Answer>) {
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

/// A statement that comes with every transaction: it is prepared once.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch("CREATE TABLE done (at INTEGER)").expect("a table");
        Worker::spawn("test", connection, Begin::Write, Haste::Prompt).expect("a thread")
    }

    /// Does one job more; answers how many there were.
    async fn job(worker: &Worker) -> Result<i64> {
        let done = |db: &Connection| {
            db.execute("INSERT INTO done VALUES (1)", [])?;
            Ok(db.query_row("SELECT count(*) FROM done", [], |row| row.get(0))?)
        };
        worker.run(done).await
    }

    #[tokio::test]
    async fn what_is_asked_during_a_pause_is_done_after_it() {
        let worker = worker();
        assert_eq!(job(&worker).await.expect("done"), 1);
        let paused = worker.pause().await;
        let (asked, ()) = tokio::join!(job(&worker), async {
            tokio::task::yield_now().await;
            drop(paused);
        });
        assert_eq!(asked.expect("done"), 2);
    }

    #[tokio::test]
    async fn nothing_is_done_after_a_pause_for_good() {
        let worker = worker();
        let paused = worker.pause().await;
        let (asked, ()) = tokio::join!(job(&worker), async {
            tokio::task::yield_now().await;
            paused.for_good();
        });
        assert!(matches!(asked, Err(StoreError::Closed)), "{asked:?}");
        assert!(matches!(job(&worker).await, Err(StoreError::Closed)));
    }
}
