//! The configuration file read again, while everything runs.
//!
//! # What it promises
//!
//! - It is read at SIGHUP, when `POST /admin/reload` asks for it, and by itself when the file or one that it names is
//!   another one, and stays that for as long as `server.watch`: what is being written is not read.
//! - A file with a mistake changes nothing, and neither does one that changes what only a restart can: each mistake is
//!   logged, and told to whoever asked.
//! - One after the other; what has been answered is in force.
//! - SIGHUP opens the access log again as well, whatever the file says.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::api::Reloaded;
use crate::clock;
use crate::config::{self, Config, Seen};
use crate::metrics::METRICS;

use super::in_force::{InForce, Rejected};

/// Whoever wants to know what came of it.
pub(super) type Asked = mpsc::Receiver<oneshot::Sender<Reloaded>>;

/// Reads it again when somebody or something asks for it.
pub(super) struct Reloader {
    in_force: Arc<Mutex<InForce>>,
    /// The files when they were last read, or found to be wrong.
    known: Vec<Seen>,
    /// Others than that, at the last look.
    changed: Option<Vec<Seen>>,
}

impl Reloader {
    pub fn new(in_force: InForce) -> Self {
        let known = in_force.seen().to_vec();
        Self { in_force: Arc::new(Mutex::new(in_force)), known, changed: None }
    }

    /// Until the gateway stops.
    pub async fn run(mut self, mut asked: Asked, mut stop: watch::Receiver<bool>) {
        let mut hang_up = match signal(SignalKind::hangup()) {
            Ok(signal) => signal,
            Err(error) => return tracing::error!(%error, "SIGHUP cannot be heard: nothing is reloaded"),
        };
        loop {
            let why = tokio::select! {
                why = self.next(&mut hang_up, &mut asked) => why,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Some(why) = why else { continue };
            if matches!(why, Why::Signal) {
                // Also for those who move its log away.
                self.lock().told().now().reopen();
            }
            let outcome = self.reload().await;
            if let Why::Asked(tell) = why {
                // Whoever asked may be gone.
                let _ = tell.send(outcome);
            }
        }
    }

    /// Waits for a reason. `None`: there is none yet.
    async fn next(&mut self, hang_up: &mut Signal, asked: &mut Asked) -> Option<Why> {
        let every = self.lock().config().server.watch;
        let look = async {
            match every {
                Some(every) => tokio::time::sleep(every).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hang_up.recv() => Some(Why::Signal),
            Some(tell) = asked.recv() => Some(Why::Asked(tell)),
            () = look => self.has_changed().await.then_some(Why::File),
        }
    }

    /// Whether the files are others than those that were read, and were so at the last look.
    async fn has_changed(&mut self) -> bool {
        let known = self.known.clone();
        let Ok(now) = spawn_blocking(move || again(&known)).await else { return false };
        if now == self.known {
            self.changed = None;
            return false;
        }
        let is_stable = self.changed.as_ref() == Some(&now);
        self.changed = Some(now);
        is_stable
    }

    async fn reload(&mut self) -> Reloaded {
        let in_force = self.in_force.clone();
        let done = spawn_blocking(move || {
            let mut in_force = in_force.lock().unwrap_or_else(PoisonError::into_inner);
            // Before they are read: what changes after that is found with the next look.
            let before = again(in_force.seen());
            let replaced = read(in_force.config()).and_then(|config| in_force.replace(config));
            (replaced, before, in_force.seen().to_vec())
        });
        let Ok((replaced, before, seen)) = done.await else {
            tracing::error!("the configuration could not be read again");
            return Err(vec!["something went wrong here".to_owned()]);
        };
        self.changed = None;
        self.known = if replaced.is_ok() { seen } else { before };
        match replaced {
            Ok(entitles_otherwise) => {
                if entitles_otherwise {
                    self.read_customers_again().await;
                }
                METRICS.config_reload.with_label_values(&["applied"]).inc();
                METRICS.config_rejected.set(0);
                tracing::info!("the configuration was read again, and is in force");
                Ok(())
            }
            Err(rejected) => {
                METRICS.config_reload.with_label_values(&["rejected"]).inc();
                METRICS.config_rejected.set(1);
                let mistakes = rejected.mistakes();
                for mistake in &mistakes {
                    tracing::error!(%mistake, "the configuration was read again, and nothing has changed");
                }
                Err(mistakes)
            }
        }
    }

    async fn read_customers_again(&self) {
        let customers = self.lock().customers().clone();
        if let Err(error) = customers.read_again(clock::now()).await {
            tracing::error!(%error, "some customers have what an operator or Stripe gives them as it was before");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why it is read again.
enum Why {
    Signal,
    Asked(oneshot::Sender<Reloaded>),
    File,
}

fn again(seen: &[Seen]) -> Vec<Seen> {
    seen.iter().map(Seen::again).collect()
}

fn read(running: &Config) -> Result<Config, Rejected> {
    let file = running.file.as_ref().ok_or(Rejected::NoFile)?;
    let config = config::load(file).map_err(Rejected::Load)?;
    for warning in &config.warnings {
        tracing::warn!(%warning, "the configuration was read again");
    }
    Ok(config)
}
