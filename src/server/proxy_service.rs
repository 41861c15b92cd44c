//! The public port: pingora on a thread of its own.
//!
//! Pingora sleeps through its whole grace period when it is told to stop, even without a request. So it gets a thread
//! that nobody waits for: the server itself waits for the requests, and the process ends when they have.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora::services::listening::Service;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::api::{self, PublicPaths};
use crate::config::{self, Config};
use crate::gateway::{self, Connections, Flow, OwnPaths, Parts, Settings, Upstream, Upstreams};

use super::ServerError;
use super::build::{Rooms, State, listen};

/// Idle connections to upstreams, kept over all threads.
const UPSTREAM_POOL: usize = 512;

/// A request's header is read where it is parsed; bodies have a buffer of their own.
const READ_BUFFER: usize = 0;
/// An answer's header and a short body go out by one call.
const WRITE_BUFFER: usize = 4 * 1024;
/// How often idle connections to upstreams are looked at.
const LOOK_AT_IDLE: Duration = Duration::from_secs(5);

/// Pingora would panic in its own thread: this says it in words, and lets go of the ports again.
pub(super) fn check_ports(config: &Config) -> Result<(), ServerError> {
    config.server.listen.iter().try_for_each(|address| listen(*address).map(drop))
}

/// Starts the proxy. Setting the answered switch closes its listeners.
pub(super) fn spawn(
    config: &Config,
    state: &State,
    rooms: &Rooms,
    flow: Arc<Flow>,
    runtime: &Runtime,
) -> Result<watch::Sender<bool>, ServerError> {
    let upstreams = Arc::new(Upstreams::new(resolve(&config.upstreams)?));
    runtime.spawn(close_idle(upstreams.clone()));
    let threads = config.server.threads.or_else(|| thread::available_parallelism().ok());
    let conf = ServerConf {
        threads: threads.map_or(1, usize::from),
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        max_retries: upstreams.max_attempts(),
        grace_period_seconds: Some(config.server.drain_timeout.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let parts = parts(config, state, rooms, upstreams, flow);
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let connections = Connections::new(parts, &server.configuration, config.server.keepalive_timeout);
    let mut service = Service::new("proxy".to_owned(), connections);
    for address in &config.server.listen {
        let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
        service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
    }
    server.add_service(service);
    let (close, closing) = watch::channel(false);
    thread::Builder::new()
        .name("pingora".into())
        .spawn(move || server.run(RunArgs { shutdown_signal: Box::new(Closing(closing)) }))?;
    Ok(close)
}

async fn close_idle(upstreams: Arc<Upstreams>) {
    loop {
        tokio::time::sleep(LOOK_AT_IDLE).await;
        upstreams.close_idle();
    }
}

struct Closing(watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for Closing {
    async fn recv(&self) -> ShutdownSignal {
        // An error means that the server is gone: close as well.
        let _ = self.0.clone().wait_for(|close| *close).await;
        ShutdownSignal::GracefulTerminate
    }
}

fn parts(
    config: &Config,
    state: &State,
    rooms: &Rooms,
    upstreams: Arc<Upstreams>,
    flow: Arc<Flow>,
) -> Arc<Parts> {
    let paths = &config.billing.paths;
    let public_paths = PublicPaths {
        prefix: paths.prefix.clone(),
        pricing: paths.pricing.clone(),
        webhook: paths.webhook.clone(),
    };
    let settings = Settings {
        own_paths: OwnPaths {
            prefix: paths.prefix.clone(),
            pricing: paths.pricing.clone(),
            webhook: paths.webhook.clone(),
        },
        max_body: config.server.max_body_bytes,
        forward_token: config.auth.forward_token,
        upgrade_url: config.server.public_url.as_ref().map(|url| format!("{url}{}", paths.pricing)),
        trusted_proxies: config.server.trusted_proxies.clone(),
    };
    let rooms = gateway::Rooms {
        catalogue: config.catalogue.clone(),
        authenticator: rooms.authenticator.clone(),
        customers: rooms.customers.clone(),
        ledger: rooms.ledger.clone(),
        upstreams,
        api: api::public(&public_paths, rooms.public.clone()),
        fleet: rooms.public.others.fleet().cloned(),
    };
    Parts::new(rooms, state.numbers.clone(), settings, flow)
}

fn resolve(upstreams: &[config::Upstream]) -> Result<Vec<Upstream>, ServerError> {
    upstreams
        .iter()
        .map(|upstream| {
            let mut servers = Vec::new();
            for server in &upstream.servers {
                let found = (server.host.as_str(), server.port).to_socket_addrs().and_then(|mut found| {
                    found.next().ok_or_else(|| std::io::Error::other("the name has no address"))
                });
                servers.push(found.map_err(|error| ServerError::Resolve {
                    name: upstream.name.clone(),
                    server: server.to_string(),
                    error,
                })?);
            }
            Ok(Upstream {
                name: upstream.name.clone(),
                servers,
                connect_timeout: upstream.connect_timeout,
                read_timeout: upstream.read_timeout,
                write_timeout: upstream.write_timeout,
                idle_timeout: upstream.idle_timeout,
                retries: upstream.retries,
            })
        })
        .collect()
}
