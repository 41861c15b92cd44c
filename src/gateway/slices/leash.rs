//! A hold on a request that goes pingora's way, where nothing of ours runs while neither side says anything.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::time::sleep;

use super::{LOOK_EVERY, Slices};

tokio::task_local! {
    static CURRENT: Arc<Leash>;
}

/// What one request is held by, once its exchange is charged as an estimate.
#[derive(Default)]
pub(in crate::gateway) struct Leash {
    slices: OnceLock<Arc<Slices>>,
    is_held: Notify,
}

impl Leash {
    /// Runs what serves one request. None: a limit has ended it, since nothing passed that could have.
    pub async fn scope<F: Future>(inside: F) -> Option<F::Output> {
        let leash = Arc::new(Self::default());
        tokio::select! {
            biased;
            served = CURRENT.scope(leash.clone(), inside) => Some(served),
            () = leash.has_cut() => None,
        }
    }

    /// Takes hold of the request that is served here, where it is one of pingora's.
    pub(super) fn hold(slices: &Arc<Slices>) {
        // There is none on the short way, which watches itself.
        let _ = CURRENT.try_with(|leash| {
            // One answer is charged once.
            let _ = leash.slices.set(slices.clone());
            leash.is_held.notify_one();
        });
    }

    async fn has_cut(&self) {
        let slices = loop {
            self.is_held.notified().await;
            if let Some(slices) = self.slices.get() {
                break slices;
            }
        };
        slices.watch().await;
        // What passes now ends it in words.
        sleep(LOOK_EVERY).await;
        slices.note_cut_off();
    }
}

impl Slices {
    /// Counts a request that ended where nobody else could.
    fn note_cut_off(&self) {
        let status = self.with_open(|recorded| recorded.record.status).unwrap_or_default();
        self.parts.counters.answered(Some(self.route), status, self.started.elapsed());
    }
}
