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
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::{self, Config};
use crate::gateway::{Connections, Door, Kind, MOST_ATTEMPTS, Parts, Tls};
use crate::live::Live;

use super::ServerError;
use super::build::listen;

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

/// The running proxy.
pub(super) struct Proxy {
    pub runtime: Runtime,
    /// Set, it closes the listeners.
    pub close: watch::Sender<bool>,
}

/// Starts the proxy.
pub(super) fn spawn(
    config: &Config,
    parts: Arc<Live<Parts>>,
    tls: Option<Arc<Tls>>,
) -> Result<Proxy, ServerError> {
    let threads = config.server.threads.or_else(|| thread::available_parallelism().ok());
    let threads = threads.map_or(1, usize::from);
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        max_retries: MOST_ATTEMPTS,
        ..ServerConf::default()
    };
    let connections = Arc::new(Connections::new(parts, &Arc::new(conf), tls));
    let runtime = runtime(threads)?;
    let (close, closing) = watch::channel(false);
    for (kind, addresses) in doors(&config.server) {
        let (mut service, bound) = open(Door::new(kind, connections.clone()), addresses, &runtime)?;
        let closing = closing.clone();
        runtime.spawn(async move { service.start_service(Some(bound), closing, 1).await });
    }
    Ok(Proxy { runtime, close })
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
