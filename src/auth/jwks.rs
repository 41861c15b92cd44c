//! The issuer's keys, kept fresh.
//!
//! - One fetch at a time; whoever needs one joins the fetch in flight.
//! - Fetches nobody asked for come every `refresh`, and soon after one another while no key is known.
//! - An unknown key id asks for a fetch at once, but only once per cool-down, whether it succeeds or not.
//! - A failed fetch changes nothing: known keys serve until the issuer is back. A key that a fetched set no
//!   longer has is retired at once; an empty set retires all.
//! - All work runs on the runtime given at the start, whichever runtime asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Settings;
use super::claims::whole_seconds;
use super::fetch::{FetchError, Fetcher};
use super::keyset::KeySet;

/// The first pause while no key is known; it doubles up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// Published keys and the task that refreshes them, which ends with this value.
pub struct Jwks {
    shared: Arc<Shared>,
    refreshing: AbortHandle,
}

struct Shared {
    fetcher: Fetcher,
    allowed: Vec<Algorithm>,
    cooldown_seconds: i64,
    keys: ArcSwap<KeySet>,
    flight: Mutex<Flight>,
    runtime: Handle,
}

#[derive(Default)]
struct Flight {
    /// Closed when the fetch is over, however it ended.
    running: Option<watch::Receiver<()>>,
    demanded_seconds: Option<i64>,
}

impl Jwks {
    /// Begins to fetch.
    pub fn start(fetcher: Fetcher, settings: &Settings, runtime: Handle) -> Self {
        let shared = Arc::new(Shared {
            fetcher,
            allowed: settings.algorithms.clone(),
            cooldown_seconds: whole_seconds(settings.jwks_cooldown),
            keys: ArcSwap::default(),
            flight: Mutex::default(),
            runtime,
        });
        let first = shared.join_or_start();
        let refresh = refresh(shared.clone(), first, settings.jwks_refresh);
        let refreshing = shared.runtime.spawn(refresh).abort_handle();
        Self { shared, refreshing }
    }

    /// The keys known now; none before the first successful fetch.
    pub fn keys(&self) -> Arc<KeySet> {
        self.shared.keys.load_full()
    }

    /// Waits for newer keys, if a fetch is in flight or the cool-down allows one.
    pub async fn refetch(&self, now_seconds: i64) {
        if let Some(fetch) = self.shared.demand(now_seconds) {
            finished(fetch).await;
        }
    }
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

impl Shared {
    fn demand(self: &Arc<Self>, now_seconds: i64) -> Option<watch::Receiver<()>> {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = flight.running() {
            return Some(running);
        }
        // The distance, so that a clock set back does not close the gate for longer.
        let recently = |at: i64| now_seconds.abs_diff(at) < self.cooldown_seconds.unsigned_abs();
        if flight.demanded_seconds.is_some_and(recently) {
            return None;
        }
        flight.demanded_seconds = Some(now_seconds);
        Some(self.start(&mut flight))
    }

    fn join_or_start(self: &Arc<Self>) -> watch::Receiver<()> {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        let running = flight.running();
        running.unwrap_or_else(|| self.start(&mut flight))
    }

    fn start(self: &Arc<Self>, flight: &mut Flight) -> watch::Receiver<()> {
        let (over, running) = watch::channel(());
        flight.running = Some(running.clone());
        let shared = self.clone();
        self.runtime.spawn(async move {
            shared.update().await;
            drop(over);
        });
        running
    }

    async fn update(&self) {
        match self.fetch().await {
            Ok(fetched) if fetched.is_empty() => {
                tracing::warn!("the issuer publishes no key that the allowed algorithms can use");
                self.replace(fetched);
            }
            Ok(fetched) => {
                tracing::debug!(keys = fetched.len(), "fetched the issuer's keys");
                self.replace(fetched);
            }
            Err(error) => {
                let known = self.keys.load().len();
                tracing::warn!(%error, known, "could not fetch the issuer's keys");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let document = self.fetcher.fetch().await?;
        Ok(KeySet::parse(&document, &self.allowed)?)
    }

    fn replace(&self, fetched: KeySet) {
        let previous = self.keys.load_full();
        let next = Arc::new(fetched.replacing(&previous));
        self.keys.store(next.clone());
        previous.retire_all_but(&next);
    }
}

impl Flight {
    fn running(&self) -> Option<watch::Receiver<()>> {
        let is_open = |fetch: &&watch::Receiver<()>| fetch.has_changed().is_ok();
        self.running.as_ref().filter(is_open).cloned()
    }
}

async fn finished(mut fetch: watch::Receiver<()>) {
    // Nothing is ever sent; the error is the news that the fetch is over.
    let _ = fetch.changed().await;
}

async fn refresh(shared: Arc<Shared>, first: watch::Receiver<()>, every: Duration) {
    let mut fetch = first;
    let mut retry = FIRST_RETRY;
    loop {
        finished(fetch).await;
        let pause = if shared.keys.load().is_empty() {
            let pause = retry.min(every);
            retry = (retry * 2).min(LONGEST_RETRY);
            pause
        } else {
            retry = FIRST_RETRY;
            every
        };
        tokio::time::sleep(jittered(pause)).await;
        fetch = shared.join_or_start();
    }
}

/// 90 to 110 % of `pause`, so that many nodes do not ask at once.
fn jittered(pause: Duration) -> Duration {
    // Without randomness every node waits the same: no harm, only less spread.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}
