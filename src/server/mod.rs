//! The server: wires the rooms, starts them from the bottom up, and stops them from the top down.
//!
//! Before the port opens the store is migrated, the ledger checked, and everything in it folded: the first request
//! sees the totals that the last one left. On the way down requests end first, then the ledger is synced and folded,
//! and what is left is sealed, and sent if Stripe answers; else it goes out after the next start.

mod admin;
mod build;
mod callers;
mod fleet;
mod in_force;
mod lock;
mod notices;
mod proxy_service;
mod reconcile;
mod reload;
mod sandbox;
mod settings;
mod sync;
mod telling;
mod upstreams;

pub use callers::{existing_store, key_desk_here};
pub use reconcile::{Hold, hold, reconciler};
pub use sync::syncer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::billing::end_overrides;
use crate::clock;
use crate::config::{Config, Retention};
use crate::customers::Customers;
use crate::domain::idempotency::REMEMBERED_SECONDS;
use crate::gateway::Flow;
use crate::ledger::Ledger;
use crate::live::Live;
use crate::reporting::{Folded, Reporter};
use crate::sandbox::Sandbox;
use crate::store::{Cutoffs, Store};

use telling::Told;

/// What requests get to end that are cut off.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(2);
/// What the background work gets to end.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Why the server did not start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("data_dir {path} cannot be used: {error}; check that it exists and is writable")]
    DataDir { path: PathBuf, error: std::io::Error },
    #[error(
        "data_dir {0} is in use by another tollgate; stop that one, or give this one a data_dir of its own"
    )]
    Locked(PathBuf),
    #[error("data_dir {0} holds no tollgate.db: no gateway has run there; check server.data_dir")]
    Empty(PathBuf),
    #[error("cannot listen on {address}: {error}; stop what uses the port, or listen on another one")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Resolve(#[from] crate::gateway::Unresolved),
    #[error(
        "the certificates that this machine trusts cannot be read: {0}; check SSL_CERT_FILE and SSL_CERT_DIR"
    )]
    Trusted(String),
    #[error("server.tls: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Ledger(#[from] crate::ledger::OpenError),
    #[error(transparent)]
    Fold(#[from] crate::reporting::fold::FoldError),
    #[error("auth.jwt: {0}")]
    Auth(#[from] crate::auth::SetupError),
    #[error("auth.jwt: {0}")]
    Claim(#[from] crate::auth::AlgorithmError),
    #[error("stripe: {0}")]
    Stripe(#[from] crate::stripe::TransportError),
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    #[error("fleet.redis: {0}; check the address")]
    Redis(String),
    #[error(transparent)]
    Fleet(#[from] crate::fleet::JoinError),
    #[error("tracing: {0}")]
    Spans(#[from] crate::telemetry::SpansError),
    #[error("access_log.path {path} cannot be written: {error}")]
    AccessLog { path: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A running gateway with everything beside it.
pub struct Server {
    runtime: Option<Runtime>,
    drain_delay: Duration,
    drain_timeout: Duration,
    ledger: Arc<Ledger>,
    reporter: Arc<Reporter>,
    fold: Option<JoinHandle<()>>,
    flow: Arc<Flow>,
    /// Ends the background work.
    stop: watch::Sender<bool>,
    proxy: Option<proxy_service::Proxy>,
    told: Arc<Live<Told>>,
    sandbox: Option<Sandbox>,
    member: Option<Membership>,
    _lock: lock::Lock,
}

/// This node's place in a fleet, and who hears that it must leave it.
type Membership = (fleet::Member, mpsc::Receiver<crate::fleet::JoinError>);

impl Server {
    /// Starts everything, and returns once the public port answers.
    pub fn start(config: &Config) -> Result<Self, ServerError> {
        proxy_service::check_ports(config)?;
        let runtime = build::runtime()?;
        refuse_to_die_of_a_large_file(&runtime)?;
        let lock = lock::Lock::take(&config.server.data_dir)?;
        let state = build::State::open(config)?;
        let sandbox = sandbox::start(config, &runtime)?;
        let (stop, stopping) = watch::channel(false);
        let member = fleet::Member::join(config, &state, &runtime)?;
        let rooms = build::Rooms::new(config, &state, member.as_ref(), &runtime)?;
        let flow = Arc::new(Flow::default());
        let started = Arc::new(AtomicBool::new(false));
        let asked = admin::serve(config, &rooms, member.as_ref(), &flow, &started, &runtime, &stopping)?;
        let in_force =
            in_force::InForce::begin(config, &state, &rooms, member.as_ref(), flow.clone(), &runtime)?;
        let member = member.map(|member| {
            let stops = member.spawn(&rooms.customers, rooms.billing.facts(), &runtime);
            member.settle(&runtime);
            (member, stops)
        });
        let proxy = proxy_service::spawn(config, in_force.parts().clone(), in_force.tls())?;
        let told = in_force.told().clone();
        runtime.spawn(reload::Reloader::new(in_force).run(asked, stopping.clone()));
        let reporter = rooms.reporter.clone();
        build::spawn_work(config, &state, rooms, &runtime, &stopping);
        let ledger = state.ledger.clone();
        let fold = state.folder.spawn(config.billing.flush_interval, runtime.handle().clone(), stopping)?;
        let server = Self {
            runtime: Some(runtime),
            drain_delay: config.server.drain_delay,
            drain_timeout: config.server.drain_timeout,
            ledger,
            reporter,
            fold: Some(fold),
            flow,
            stop,
            proxy: Some(proxy),
            told,
            sandbox,
            member,
            _lock: lock,
        };
        started.store(true, Ordering::Relaxed);
        tracing::info!(listen = ?config.server.listen, admin = %config.server.admin_listen, "tollgate is serving");
        Ok(server)
    }

    /// The local Stripe, in sandbox mode.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// Returns at SIGTERM or SIGINT. An error says why it must stop without.
    pub fn wait_for_signal(&mut self) -> Result<(), ServerError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let mut stops = self.member.as_mut().map(|(_, stops)| stops);
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => Ok(()),
                _ = interrupt.recv() => Ok(()),
                why = fleet::must_stop(stops.as_deref_mut()) => Err(why.into()),
            }
        })
    }

    /// Lets requests end, then writes everything down.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        tracing::info!("draining");
        self.flow.draining.store(true, Ordering::Relaxed);
        let hurried = hurry_at_signal(&runtime);
        let closes_at = Instant::now() + self.drain_delay;
        while Instant::now() < closes_at && !hurried.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut proxy = self.proxy.take();
        if let Some(proxy) = &proxy {
            proxy.close.send_replace(true);
        }
        let deadline = Instant::now() + self.drain_timeout;
        let wait = || {
            let busy = self.flow.in_flight.count() > 0;
            busy && Instant::now() < deadline && !hurried.load(Ordering::Relaxed)
        };
        while wait() {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Whoever comes now is told so; whoever has come meanwhile is waited for.
        self.flow.closed.store(true, Ordering::SeqCst);
        while wait() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let cut_off = self.flow.in_flight.count();
        if cut_off > 0 {
            tracing::warn!(cut_off, "requests were still running at the end of drain_timeout");
            // While the ledger is open: what they cost so far is recorded when they are cut off.
            if let Some(proxy) = proxy.take() {
                proxy.runtime.shutdown_timeout(CUT_OFF_WITHIN);
            }
        }
        let member = self.member.take().map(|(member, _)| member);
        if let Some(member) = &member {
            member.give_all_back(&runtime);
        }
        // The last sync comes before the last fold.
        self.ledger.close();
        self.stop.send_replace(true);
        if self.fold.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the folding thread panicked");
        }
        if !hurried.load(Ordering::Relaxed) {
            runtime.block_on(self.reporter.flush_last());
        }
        if let Some(member) = &member {
            member.leave(&runtime);
        }
        if let Some(sandbox) = self.sandbox.take() {
            runtime.block_on(sandbox.stop());
        }
        if let Some(proxy) = proxy {
            while self.flow.http2.count() > 0 && Instant::now() < deadline && !hurried.load(Ordering::Relaxed)
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            // Whoever came too late has been told so until now.
            proxy.runtime.shutdown_background();
            self.told.now().end(&runtime, WORK_ENDS_WITHIN);
        }
        runtime.shutdown_timeout(WORK_ENDS_WITHIN);
        tracing::info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// A write beyond the file size limit (`ulimit -f`) is to fail like any other write, and not to end the process.
fn refuse_to_die_of_a_large_file(runtime: &Runtime) -> std::io::Result<()> {
    // The same number on every Unix that we build for. Once taken, a signal is never given back.
    const SIGXFSZ: i32 = 25;
    let _entered = runtime.enter();
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

/// A second signal ends the drain.
fn hurry_at_signal(runtime: &Runtime) -> Arc<AtomicBool> {
    let hurried = Arc::new(AtomicBool::new(false));
    let told = hurried.clone();
    runtime.spawn(async move {
        if let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.store(true, Ordering::Relaxed);
        }
    });
    hurried
}

/// Usage that was moved to the current period counts there from now on.
async fn raise_moved(customers: Arc<Customers>, mut moved: mpsc::UnboundedReceiver<u32>) {
    while let Some(customer) = moved.recv().await {
        if let Err(error) = customers.raise(customer, clock::now()).await {
            tracing::error!(%error, customer, "usage that was moved to the current period is not counted yet");
        }
    }
}

/// Customers leave as soon as there is room wanted and their records are folded.
async fn tell_what_is_folded(customers: Arc<Customers>, mut folded: watch::Receiver<Folded>) {
    loop {
        let next_record = folded.borrow_and_update().next_record;
        customers.folded(next_record);
        // The folder ends with the process.
        if folded.changed().await.is_err() {
            return;
        }
    }
}

/// Lets customers rest who have gone, and segments go that are no longer kept.
async fn keep_house(
    customers: Arc<Customers>,
    ledger: Arc<Ledger>,
    store: Arc<Store>,
    folded: watch::Receiver<Folded>,
    kept: Kept,
) {
    const EVERY: Duration = Duration::from_mins(1);
    tokio::spawn(tell_what_is_folded(customers.clone(), folded.clone()));
    loop {
        let now = clock::now();
        let reached = *folded.borrow();
        customers.evict(now);
        if let Err(error) = end_overrides(&store, &customers, now).await {
            tracing::warn!(%error, "overrides that have come to their end are not taken back yet");
        }
        prune_store(&store, now.seconds(), &kept).await;
        let records = i64::try_from(kept.records.as_micros()).unwrap_or(i64::MAX);
        callers::forget_anonymous(&customers, now, kept.records).await;
        match ledger.prune(now.micros().saturating_sub(records), reached.position) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "segments older than ledger.retention were removed"),
            Err(error) => tracing::warn!(%error, "old segments could not be removed"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// How long things are kept.
pub(super) struct Kept {
    /// Usage records, and the meter events that they were sent in.
    records: Duration,
    settled: Retention,
    /// Idempotency keys of each customer.
    keys: u32,
}

impl Kept {
    pub fn of(config: &Config) -> Self {
        Self {
            records: config.ledger.retention,
            settled: config.retention,
            keys: config.billing.idempotency.keys,
        }
    }

    fn cutoffs(&self, now: i64) -> Cutoffs {
        let records = i64::try_from(self.records.as_secs()).unwrap_or(i64::MAX);
        let Retention { financial, webhooks, logs } = self.settled;
        let [receipts, financial, webhooks, logs] =
            [records, financial, webhooks, logs].map(|kept| now.saturating_sub(kept));
        Cutoffs { receipts, webhooks, financial, logs }
    }
}

/// Idempotency keys are kept as long as they count.
async fn prune_store(store: &Store, now: i64, kept: &Kept) {
    let pruned = async {
        store.prune_settled(kept.cutoffs(now)).await?;
        while store.prune_keys(now.saturating_sub(REMEMBERED_SECONDS)).await? {}
        while store.prune_operations(now).await? {}
        // Not once for each slice: it reads them all.
        store.prune_crowded_keys(kept.keys as usize).await
    };
    if let Err(error) = pruned.await {
        tracing::warn!(%error, "what is no longer kept could not be removed");
    }
}
