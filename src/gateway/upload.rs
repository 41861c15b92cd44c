//! The body of a request of HTTP/2, whose reader sets no limit to its client's silence, and what became of the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

tokio::task_local! {
    static CURRENT: Arc<Upload>;
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Upload {
    opened: Instant,
    /// When its last piece came, in nanoseconds since it was opened.
    last: AtomicU64,
    /// Nobody waits for it any more: it has ended, or the answer has begun.
    over: AtomicBool,
    answered: AtomicBool,
}

impl Upload {
    pub fn new(over: bool) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            last: AtomicU64::new(0),
            over: AtomicBool::new(over),
            answered: AtomicBool::new(false),
        })
    }

    /// That of the request that is served here, if it came by HTTP/2.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// What runs here finds this one as [`Self::current`].
    pub fn scope<F: Future>(self: Arc<Self>, inside: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, inside)
    }

    /// A piece has come, or is asked for from now on.
    pub fn note(&self) {
        let since = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The client has been told something.
    pub fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Returns when the client has been silent for as long as `limit`, and is waited for. Pieces set no timer: it looks
    /// again when it goes off.
    pub async fn is_silent_for(&self, limit: Duration) {
        loop {
            if self.over.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let until = self.opened + Duration::from_nanos(self.last.load(Ordering::Relaxed)) + limit;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// The request is over: counts it among those that were taken back, or takes one of them off.
    pub fn settle(&self, taken_back: &AtomicU32) {
        if self.answered.load(Ordering::Relaxed) {
            let less = |count: u32| Some(count.saturating_sub(1));
            // It always changes.
            let _ = taken_back.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        } else {
            taken_back.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Whether the silence is told within a minute.
    async fn is_cut(upload: &Upload) -> bool {
        tokio::time::timeout(Duration::from_millis(50), upload.is_silent_for(LIMIT)).await.is_ok()
    }

    #[tokio::test]
    async fn only_who_is_waited_for_is_silent() {
        let mut upload = Upload::new(false);
        assert!(!is_cut(&upload).await, "it has just begun");
        let before = Instant::now().checked_sub(2 * LIMIT).expect("a machine that runs for a while");
        Arc::get_mut(&mut upload).expect("the only one").opened = before;
        assert!(is_cut(&upload).await);
        upload.note();
        assert!(!is_cut(&upload).await, "a piece has come");
        upload.last.store(0, Ordering::Relaxed);
        upload.end();
        assert!(!is_cut(&upload).await, "nobody waits");
    }

    #[test]
    fn what_is_answered_makes_up_for_what_was_taken_back() {
        let taken_back = AtomicU32::new(0);
        let [cut, whole] = [Upload::new(true), Upload::new(true)];
        whole.answer();
        for (upload, expected) in [(&whole, 0), (&cut, 1), (&cut, 2), (&whole, 1)] {
            upload.settle(&taken_back);
            assert_eq!(taken_back.load(Ordering::Relaxed), expected);
        }
    }
}
