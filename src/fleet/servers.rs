//! The servers of Redis: one, a Cluster, or what Sentinels name as the master now.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
};

use super::address::{Address, Layout};

/// Deadlines for a connection to one server: names, TLS and the account take a few round trips.
const HANDSHAKE: u32 = 3;

/// Connects to them anew each time.
pub(super) enum Servers {
    Single(Box<Client>),
    Sentinels {
        /// One for each Sentinel: whether it answers shows.
        sentinels: Vec<SentinelClient>,
        next: usize,
    },
    Cluster {
        cluster: Box<ClusterClient>,
        /// What is published anywhere is heard at each of them.
        nodes: Vec<Client>,
        next: usize,
    },
}

/// To all of them; cloned freely, its commands are sent without waiting for each other.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Servers {
    pub(super) fn new(redis: &Address, deadline: Duration) -> RedisResult<Self> {
        // Installed once by whoever comes first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match &redis.layout {
            Layout::Single => {
                let (host, port) = redis.servers.first().ok_or_else(no_server)?;
                client(redis, host, *port).map(|client| Self::Single(Box::new(client)))
            }
            Layout::Sentinel { master } => {
                let one = |(host, port): &(String, u16)| sentinel(redis, host, *port, master);
                let sentinels: Vec<_> = redis.servers.iter().map(one).collect::<RedisResult<_>>()?;
                if sentinels.is_empty() {
                    Err(no_server())
                } else {
                    Ok(Self::Sentinels { sentinels, next: 0 })
                }
            }
            Layout::Cluster => cluster(redis, deadline),
        }
    }

    /// A connection for commands. One server is asked for the way at a time, another one the next time.
    pub(super) async fn connect(&mut self, deadline: Duration) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(deadline * HANDSHAKE))
            .set_response_timeout(None);
        match self {
            Self::Single(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
            }
            Self::Sentinels { sentinels, next } => {
                let client = turn(sentinels, next)?.async_get_client().await?;
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
            }
            Self::Cluster { cluster, .. } => cluster.get_async_connection().await.map(Connection::Cluster),
        }
    }

    /// A connection that hears what is published; of another server each time.
    pub(super) async fn listen(&mut self) -> RedisResult<PubSub> {
        match self {
            Self::Single(client) => client.get_async_pubsub().await,
            Self::Sentinels { sentinels, next } => {
                turn(sentinels, next)?.async_get_client().await?.get_async_pubsub().await
            }
            Self::Cluster { nodes, next, .. } => turn(nodes, next)?.get_async_pubsub().await,
        }
    }
}

/// The next of some.
fn turn<'a, T>(of: &'a mut [T], next: &mut usize) -> RedisResult<&'a mut T> {
    let at = *next % of.len().max(1);
    *next = at + 1;
    of.get_mut(at).ok_or_else(no_server)
}

fn address(host: &str, port: u16, tls: bool) -> ConnectionAddr {
    let host = host.to_owned();
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn certificates(redis: &Address) -> Option<TlsCertificates> {
    let root_cert = redis.authorities.clone().filter(|_| redis.tls)?;
    Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
}

pub(super) fn client(redis: &Address, host: &str, port: u16) -> RedisResult<Client> {
    let info = info(address(host, port, redis.tls), redis)?;
    match certificates(redis) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

fn sentinel(redis: &Address, host: &str, port: u16, master: &str) -> RedisResult<SentinelClient> {
    let addresses = [address(host, port, redis.tls)];
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(redis.database.into())
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_sentinel_tcp_settings(tcp());
    if redis.tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(redis) {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    if let Some(user) = &redis.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &redis.password {
        builder = builder.set_client_to_redis_password(password);
    }
    builder.build()
}

fn cluster(redis: &Address, deadline: Duration) -> RedisResult<Servers> {
    let infos = redis.servers.iter().map(|(host, port)| info(address(host, *port, redis.tls), redis));
    let infos: Vec<_> = infos.collect::<RedisResult<_>>()?;
    let nodes = redis.servers.iter().map(|(host, port)| client(redis, host, *port));
    let nodes = nodes.collect::<RedisResult<_>>()?;
    let mut builder = ClusterClient::builder(infos)
        .connection_timeout(deadline * HANDSHAKE)
        .response_timeout(deadline)
        .tcp_settings(tcp())
        .retries(2)
        .min_retry_wait(10)
        .max_retry_wait(30);
    if redis.tls {
        builder = builder.tls(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(redis) {
        builder = builder.certs(certificates);
    }
    Ok(Servers::Cluster { cluster: Box::new(builder.build()?), nodes, next: 0 })
}

pub(super) fn no_server() -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "no server of Redis could be asked"))
}

fn info(address: ConnectionAddr, redis: &Address) -> RedisResult<redis::ConnectionInfo> {
    let mut who = RedisConnectionInfo::default().set_db(redis.database.into()).set_skip_set_lib_name();
    if let Some(user) = &redis.user {
        who = who.set_username(user);
    }
    if let Some(password) = &redis.password {
        who = who.set_password(password);
    }
    Ok(address.into_connection_info()?.set_redis_settings(who).set_tcp_settings(tcp()))
}

/// Commands are small, and waited for.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
