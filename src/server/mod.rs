//! The server: wires the rooms, starts them from the bottom up, and stops them from the top down.
//!
//! Before the port opens the store is migrated, the ledger checked, and everything in it folded: the first request
//! sees the totals that the last one left. On the way down requests end first, then the ledger is synced and folded,
//! and what is left is sealed, and sent if Stripe answers; else it goes out after the next start.

mod admin;
mod build;
mod callers;
mod ending;
mod fleet;
mod house;
mod in_force;
mod lock;
mod log_level;
mod notices;
mod ports;
mod proxy_service;
mod reconcile;
mod reload;
mod restore;
mod sandbox;
mod settings;
mod supervisor;
mod sync;
mod telling;
mod upgrade;
mod upstreams;

pub use callers::{existing_store, key_desk_here};
pub use fleet::redis_address;
pub use reconcile::{Hold, hold, reconciler};
pub use restore::{RestoreError, restore};
pub use settings::{to_stripe, transport as stripe_options};
pub use sync::syncer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::gateway::{Flow, Heir};
use crate::ledger::Ledger;
use crate::live::Live;
use crate::reporting::Reporter;
use crate::sandbox::Sandbox;

use telling::Told;

/// Why the server did not start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("data_dir {path} cannot be used: {error}; check that it exists and is writable")]
    DataDir { path: PathBuf, error: std::io::Error },
    #[error(
        "data_dir {0} is in use by another tollgate; stop that one, let this one take its place with `run --upgrade`, \
         or give this one a data_dir of its own"
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
    #[error("the upgrade cannot be: {0}; the process that runs goes on")]
    Upgrade(String),
    #[error("the process that ran has not handed over: {0}")]
    Gone(std::io::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Why a gateway ends.
pub enum Ended {
    /// It is to stop.
    Told,
    /// Another process has taken its place.
    Replaced(Heir),
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
    giver: Arc<upgrade::Giver>,
}

/// This node's place in a fleet, and who hears that it must leave it.
type Membership = (fleet::Member, mpsc::Receiver<crate::fleet::JoinError>);

impl Server {
    /// Starts everything, and returns once the public port answers.
    pub fn start(config: &Config) -> Result<Self, ServerError> {
        Self::begin(config, runtime()?, None)
    }

    /// Takes the place of the gateway that runs on the same `data_dir`; where none runs, starts as ever.
    pub fn upgrade(config: &Config) -> Result<Self, ServerError> {
        let runtime = runtime()?;
        let begun = match runtime.block_on(upgrade::Before::find(config)) {
            Ok(before) => Self::begin(config, runtime, before),
            Err(error) => Err(error),
        };
        match begun {
            Err(ServerError::Gone(why)) => {
                // It has died, or goes on: the lock tells.
                tracing::warn!(%why, "the process that ran has not handed over");
                Self::start(config)
            }
            begun => begun,
        }
    }

    fn begin(
        config: &Config,
        runtime: Runtime,
        before: Option<(upgrade::Before, ports::Ports)>,
    ) -> Result<Self, ServerError> {
        let (before, ports) = before.unzip();
        let ports = Arc::new(ports.unwrap_or_default());
        // First of all: another gateway on the same folder has the same ports too, and is what is to be told.
        let free = before.is_none().then(|| lock::Lock::take(&config.server.data_dir)).transpose()?;
        proxy_service::check_ports(config, &ports)?;
        let found = upstreams::find(config, None, runtime.handle())?;
        let rested = before.map(|before| before.let_it_rest(config, &runtime)).transpose()?;
        let (handed, estate) = rested.unzip();
        let lock = free.or(handed).expect("taken above, or handed over");
        let state = build::State::open(config, estate.is_some())?;
        let sandbox = sandbox::start(config, &runtime)?;
        let (stop, stopping) = watch::channel(false);
        let member = fleet::Member::join(config, &state, &runtime)?;
        let rooms = build::Rooms::new(config, &state, member.as_ref(), &runtime)?;
        let flow = Arc::new(Flow::default());
        let started = Arc::new(AtomicBool::new(false));
        let in_force = in_force::InForce::begin(
            config,
            &state,
            &rooms,
            member.as_ref(),
            (flow.clone(), found),
            &runtime,
        )?;
        let taken =
            estate.map(|estate| estate.take(&state, &rooms, in_force.parts(), &runtime)).transpose()?;
        let asked =
            admin::serve(config, &rooms, member.as_ref(), (&flow, &ports), &started, &runtime, &stopping)?;
        let member = member.map(|member| {
            let stops = member.spawn(&rooms.customers, rooms.billing.facts(), &runtime);
            member.settle(&runtime);
            (member, stops)
        });
        let proxy = proxy_service::spawn(config, in_force.parts().clone(), in_force.tls(), &ports)?;
        if let Some(taken) = taken {
            runtime.spawn(taken.see_off(flow.clone()));
        }
        let giver = upgrade::Giver::new(config, &state, &rooms, &flow, (ports, lock), stop.clone());
        let giver = Arc::new(giver);
        runtime.spawn(giver.clone().run());
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
            giver,
        };
        started.store(true, Ordering::Relaxed);
        server.announce(config);
        Ok(server)
    }

    /// Says that it serves, and from then on that it lives.
    fn announce(&self, config: &Config) {
        if let (Some(runtime), Some(proxy)) = (&self.runtime, &self.proxy) {
            let serving = proxy.runtime.handle().clone();
            runtime.spawn(supervisor::keep_watchdog_quiet(serving, self.stop.subscribe()));
        }
        supervisor::ready();
        tracing::info!(listen = ?config.server.listen, admin = %config.server.admin_listen, "tollgate is serving");
    }

    /// The local Stripe, in sandbox mode.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }
}

/// What everything runs on, and hears signals with.
fn runtime() -> Result<Runtime, ServerError> {
    let runtime = build::runtime()?;
    refuse_to_die_of_a_large_file(&runtime)?;
    log_level::follow(&runtime)?;
    Ok(runtime)
}

/// A write beyond the file size limit (`ulimit -f`) is to fail like any other write, and not to end the process.
fn refuse_to_die_of_a_large_file(runtime: &Runtime) -> std::io::Result<()> {
    // The same number on every Unix that we build for. Once taken, a signal is never given back.
    const SIGXFSZ: i32 = 25;
    let _entered = runtime.enter();
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}
