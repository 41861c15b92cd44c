//! The public ports: pingora's services on a runtime of ours.
//!
//! Pingora's own server would sleep through its whole grace period when it is told to stop, panic on a port that is
//! taken, and end the process when a hand-over fails. So the ports are bound here, and the server itself waits for the
//! requests.

use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::thread;

use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::api::{self, PublicPaths};
use crate::config::{self, Config};
use crate::gateway::{
    self, Access, Connections, Door, Flow, Kind, MOST_ATTEMPTS, OwnPaths, Parts, Redirects, Settings, Tls,
    Traces, Upstreams,
};
use crate::live::Live;
use crate::telemetry::{Lines, Spans};

use super::ServerError;
use super::build::{Rooms, State, listen};

/// Idle connections to upstreams, kept over all threads.
const UPSTREAM_POOL: usize = 512;

/// A request's header is read where it is parsed; bodies have a buffer of their own.
const READ_BUFFER: usize = 0;
/// An answer's header and a short body go out by one call.
const WRITE_BUFFER: usize = 4 * 1024;
/// Connections that wait to be accepted, as many as pingora lets wait.
const BACKLOG: u32 = 65_535;

/// Before anything else is done: whether the ports are free.
pub(super) fn check_ports(config: &Config) -> Result<(), ServerError> {
    let doors = doors(&config.server);
    doors.iter().flat_map(|(_, addresses)| *addresses).try_for_each(|address| listen(*address).map(drop))
}

/// The kinds of ports, and where each is.
fn doors(server: &config::Server) -> [(Kind, &[SocketAddr]); 4] {
    let doors = &server.doors;
    [
        (if doors.tls.is_some() { Kind::Tls } else { Kind::Plain }, &server.listen),
        (Kind::Plain, &doors.plain_listen),
        (Kind::H2c, &doors.h2c_listen),
        (Kind::Redirect, &doors.redirect_listen),
    ]
}

/// Pingora's connectors read the certificates that this machine trusts, and panic where they cannot be read.
fn check_trusted_certificates() -> Result<(), ServerError> {
    let mut trusted = RootCertStore::empty();
    load_platform_certs_incl_env_into_store(&mut trusted)
        .map_err(|error| ServerError::Trusted(error.to_string()))
}

/// The running proxy.
pub(super) struct Proxy {
    pub runtime: Runtime,
    /// Set, it closes the listeners.
    pub close: watch::Sender<bool>,
    /// Of the access log.
    pub lines: Option<Lines>,
    /// Of traces.
    pub spans: Option<Spans>,
}

/// Starts the proxy.
pub(super) fn spawn(
    config: &Config,
    state: &State,
    rooms: &Rooms,
    flow: Arc<Flow>,
    work: &Runtime,
) -> Result<Proxy, ServerError> {
    check_trusted_certificates()?;
    let addresses = work.block_on(gateway::resolve(&config.upstreams))?;
    let upstreams = Arc::new(Upstreams::new(&config.upstreams, addresses, None));
    upstreams.look_after(work.handle());
    let threads = config.server.threads.or_else(|| thread::available_parallelism().ok());
    let threads = threads.map_or(1, usize::from);
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        max_retries: MOST_ATTEMPTS,
        ..ServerConf::default()
    };
    let lines = config.access_log.as_ref().map(open_access_log).transpose()?;
    let spans = config.tracing.as_ref().map(|tracing| send_spans(tracing, work)).transpose()?;
    let told = Told { lines: lines.clone(), spans: spans.clone() };
    let parts = parts(config, state, rooms, upstreams, flow, told);
    let tls = config.server.doors.tls.as_ref();
    let tls = tls.map(|tls| Tls::new(tls, config.server.doors.http2).map(Arc::new)).transpose()?;
    let connections = Arc::new(Connections::new(Arc::new(Live::new(parts)), &Arc::new(conf), tls));
    let runtime = runtime(threads)?;
    let (close, closing) = watch::channel(false);
    for (kind, addresses) in doors(&config.server) {
        let (mut service, bound) = open(Door::new(kind, connections.clone()), addresses, &runtime)?;
        let closing = closing.clone();
        runtime.spawn(async move { service.start_service(Some(bound), closing, 1).await });
    }
    Ok(Proxy { runtime, close, lines, spans })
}

/// A service that accepts on these addresses, and the bound ports that it is handed.
fn open(
    door: Door,
    addresses: &[SocketAddr],
    runtime: &Runtime,
) -> Result<(Service<Door>, ListenFds), ServerError> {
    let mut service = Service::new("proxy".to_owned(), door);
    let mut bound = Fds::new();
    for address in addresses {
        let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
        service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
        let listener =
            bind(runtime, *address).map_err(|error| ServerError::Listen { address: *address, error })?;
        bound.add(address.to_string(), listener.into_raw_fd());
    }
    Ok((service, Arc::new(bound.into())))
}

/// Who is told of requests that are over.
struct Told {
    lines: Option<Lines>,
    spans: Option<Spans>,
}

fn send_spans(tracing: &config::Tracing, work: &Runtime) -> Result<Spans, ServerError> {
    let headers = tracing.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
    Ok(Spans::start(&tracing.otlp_endpoint, headers, work.handle())?)
}

fn open_access_log(log: &config::AccessLog) -> Result<Lines, ServerError> {
    let failed = |error| {
        let path = log.path.clone().unwrap_or_else(|| "stderr".into());
        ServerError::AccessLog { path, error }
    };
    Lines::open(log.path.clone()).map_err(failed)
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("proxy")
        .enable_all()
        .build()
}

/// Ready for pingora to accept on.
fn bind(runtime: &Runtime, address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let _entered = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn parts(
    config: &Config,
    state: &State,
    rooms: &Rooms,
    upstreams: Arc<Upstreams>,
    flow: Arc<Flow>,
    told: Told,
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
        key_header: super::callers::header(config),
        anonymous: config.callers.anonymous.map(|anonymous| anonymous.networks),
        upgrade_url: config.server.public_url.as_ref().map(|url| format!("{url}{}", paths.pricing)),
        trusted_proxies: config.server.trusted_proxies.clone(),
        keepalive_timeout: config.server.keepalive_timeout,
        limits: config.server.doors.limits,
        h2: config.server.doors.h2,
        client_certificate: config.callers.client_certificate,
        redirects: redirects(&config.server),
        forwarded: config.server.forwarded,
    };
    let rooms = gateway::Rooms {
        catalogue: config.catalogue.clone(),
        authenticator: rooms.authenticator.clone(),
        customers: rooms.customers.clone(),
        ledger: rooms.ledger.clone(),
        upstreams,
        api: api::public(&public_paths, rooms.public.clone()),
        fleet: rooms.public.others.fleet().cloned(),
        access: config.access_log.as_ref().zip(told.lines).map(|(log, lines)| Access::new(log, lines)),
        traces: config.tracing.as_ref().zip(told.spans).map(|(tracing, to)| Traces::new(to, tracing.sample)),
    };
    Parts::new(rooms, state.numbers.clone(), settings, flow)
}

/// Clients are sent to the public URL's port where that speaks TLS, else to our own.
fn redirects(server: &config::Server) -> Redirects {
    let public = server.public_url.as_deref().and_then(|url| url.strip_prefix("https://"));
    let public = public.and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let own = server.listen.first().map_or(443, SocketAddr::port);
    let port = public.as_deref().map(|host| {
        let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        port.and_then(|(_, port)| port.parse().ok()).unwrap_or(443)
    });
    Redirects { port: port.unwrap_or(own), public, except: server.doors.redirect_except.clone() }
}
