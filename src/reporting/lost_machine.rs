//! What a node of a fleet does for the day on which a machine does not come back: it copies what it has not sent, and
//! takes over what lost nodes have not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock;
use crate::fleet::copy::Copies;
use crate::store::Store;

use super::copy::{Copier, CopierOptions, CopyError};
use super::take_over::TakeOver;

/// Unsent usage is copied so soon.
const COPY_EVERY: Duration = Duration::from_secs(1);
/// A copy takes at most this part of the time: with very much unsent usage it is made less often.
const BUSY_PART: u32 = 4;
const TAKE_OVER_EVERY: Duration = Duration::from_secs(10);
/// A start waits so long for Redis; what is not known then is found out before the first row is sent.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

pub struct LostMachines {
    copier: Arc<Copier>,
    take_over: TakeOver,
}

impl LostMachines {
    pub fn new(store: Arc<Store>, copies: Arc<dyn Copies>, options: CopierOptions) -> Self {
        let take_over = TakeOver::new(store.clone(), copies.clone(), options.event_names.clone());
        Self { copier: Arc::new(Copier::new(store, copies, options)), take_over }
    }

    /// For [`super::Reporter::in_fleet`].
    pub fn copier(&self) -> Arc<Copier> {
        self.copier.clone()
    }

    /// Before anything is sealed: reckons with what was taken over of this node, if Redis is there to tell.
    pub async fn begin(&self) {
        if timeout(BEGINS_WITHIN, self.copy()).await.is_err() {
            tracing::warn!("Redis was slow: what was taken over of this node is found out later");
        }
    }

    /// Copies and takes over, until told to stop. `due` is notified when there is something to send.
    pub async fn run(self, due: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        let mut take_over_at = Instant::now();
        loop {
            let began = Instant::now();
            self.copy().await;
            let copy_at = began + COPY_EVERY.max(began.elapsed() * BUSY_PART);
            if take_over_at <= Instant::now() {
                take_over_at = Instant::now() + TAKE_OVER_EVERY;
                match self.take_over.round(clock::now().seconds()).await {
                    Ok(true) => due.notify_one(),
                    Ok(false) => {}
                    Err(error) => tracing::debug!(%error, "lost nodes are looked after later"),
                }
            }
            tokio::select! {
                () = sleep_until(copy_at) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn copy(&self) {
        match self.copier.tick(clock::now().seconds()).await {
            Ok(()) => {}
            Err(CopyError::Store(error)) => tracing::error!(%error, "unsent usage could not be copied"),
            Err(error) => tracing::debug!(%error, "unsent usage is copied later"),
        }
    }
}
