//! Missed news: everything is read again from Stripe, at the start and every night.
//!
//! # What it promises
//!
//! - Subscriptions are read by pages of 100, and only those that no page has brought one by one. All of it takes a
//!   quarter of the rate towards Stripe, so that webhooks are applied meanwhile.
//! - A run that ends early, by a crash or because Stripe is away, goes on where it was if it goes on within the hour.
//! - Events that no webhook has brought are taken in as if one had, each once, and handed on to the handler that was
//!   there before. The first run of all begins with itself: what happened before is in the subscriptions.
//! - There is one run at a time: whoever asks for another one joins it.

mod events;
mod pages;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::clock;
use crate::metrics::METRICS;
use crate::store::StoreError;
use crate::stripe::{Backoff, CallError, random};

use super::apply::{Applier, ApplyError, Taken};
use super::forward::Outgoing;

/// Tries of one page while Stripe fails.
const TRIES: u32 = 4;

/// Reads everything again.
pub struct Sync {
    applier: Arc<Applier>,
    /// Told when events have been taken in.
    arrived: Arc<Notify>,
    /// Another handler gets what has been taken in.
    outgoing: Option<Arc<Outgoing>>,
    progress: watch::Sender<Progress>,
}

/// What a sync has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Synced {
    /// Subscriptions that were read and are in force.
    pub synced: u64,
    /// Subscriptions that Stripe has, and that could not be understood or stored.
    pub failed: u64,
}

/// Where the run is that is under way, or that was the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its number in this process; 0 before the first.
    run: u64,
    /// Subscriptions that were known when it began.
    pub known: u64,
    pub done: Synced,
    /// Events that no webhook had brought.
    pub events: u64,
    pub began_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// Why it ended early.
    pub error: Option<SyncError>,
}

/// Why not everything was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    #[error("there is no customer of that name")]
    NoCustomer,
    #[error("nothing links this customer to one at Stripe")]
    NotLinked,
    #[error(transparent)]
    Stripe(#[from] CallError),
    #[error("{0}")]
    Store(String),
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<ApplyError> for SyncError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Stripe(error) => error.into(),
            ApplyError::Store(error) => error.into(),
        }
    }
}

impl Progress {
    pub fn is_running(&self) -> bool {
        self.began_at.is_some() && self.ended_at.is_none()
    }

    fn outcome(self) -> Result<Synced, SyncError> {
        self.error.map_or(Ok(self.done), Err)
    }
}

impl Sync {
    pub(super) fn new(applier: Arc<Applier>, arrived: Arc<Notify>, outgoing: Option<Arc<Outgoing>>) -> Self {
        Self { applier, arrived, outgoing, progress: watch::Sender::default() }
    }

    /// How far it is, and every change of that.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Reads everything, or joins the run that is under way; returns at its end. It goes on when nobody waits for it.
    pub async fn run(self: &Arc<Self>) -> Result<Synced, SyncError> {
        let run = self.begin();
        let mut progress = self.progress();
        let ended = progress.wait_for(|now| now.run >= run && !now.is_running()).await;
        ended.expect("the sender is here").clone().outcome()
    }

    /// Reads all subscriptions of one of our customers.
    pub async fn customer(&self, name: &str) -> Result<Synced, SyncError> {
        let known = self.applier.store.find_customer(name.to_owned()).await?;
        let linked = known.ok_or(SyncError::NoCustomer)?.stripe_customer;
        let taken = self.applier.list(&linked.ok_or(SyncError::NotLinked)?, clock::now()).await?;
        Ok(taken.into())
    }

    /// The number of the run that has begun, or of the one under way.
    fn begin(self: &Arc<Self>) -> u64 {
        let mut run = 0;
        let begins = self.progress.send_if_modified(|progress| {
            let begins = !progress.is_running();
            if begins {
                let began_at = Some(clock::now().seconds());
                *progress = Progress { run: progress.run + 1, began_at, ..Progress::default() };
            }
            run = progress.run;
            begins
        });
        if begins {
            let sync = self.clone();
            tokio::spawn(async move { sync.read_everything().await });
        }
        run
    }

    async fn read_everything(&self) {
        let events = self.take_in_events().await;
        let subscriptions = pages::read(&self.applier, &self.progress).await;
        let error = events.and(subscriptions).err().map(SyncError::from);
        METRICS.sync_runs.with_label_values(&[if error.is_none() { "completed" } else { "failed" }]).inc();
        self.progress.send_modify(|progress| {
            progress.error = error;
            progress.ended_at = Some(clock::now().seconds());
        });
        let Progress { done: Synced { synced, failed }, events, error, .. } = self.progress.borrow().clone();
        match error {
            None => tracing::info!(synced, failed, events, "everything was read again from Stripe"),
            Some(error) => tracing::error!(%error, synced, failed, events, "a sync has ended early"),
        }
    }
}

impl From<Taken> for Synced {
    fn from(taken: Taken) -> Self {
        Self { synced: taken.understood, failed: taken.unknown }
    }
}

/// How long to wait for another try, where one is worthwhile: a run is long, and should not end at a hiccup.
fn pause_after<T>(answer: &Result<T, CallError>, tries: u32) -> Option<Duration> {
    let error = answer.as_ref().err()?;
    (tries < TRIES && error.deserves_retry()).then(|| Backoff::WITHIN_CALL.pause(tries, random()))
}
