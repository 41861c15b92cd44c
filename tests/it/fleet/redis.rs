//! Real servers of Redis: one, a Cluster, or one with a replica that a Sentinel watches.
//!
//! Each has a folder of its own that goes with it, keeps nothing on disk, and is killed by its id at the end.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;
use tollgate::fleet::{Address, Layout};

use crate::harness::{PATIENCE, free_address, until};

/// Who is let in by `deploy/fleet/users.acl`, and what they may do.
const USERS: &str = include_str!("../../../deploy/fleet/users.acl");

const SENTINEL_FILE: &str = "sentinel.conf";

/// One server's process.
pub struct Redis {
    process: Child,
    folder: TempDir,
    at: SocketAddr,
    args: Vec<String>,
    is_tls: bool,
}

impl Redis {
    /// An empty server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more words on its command line; `DIR` in them is its folder.
    pub async fn start_with(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args: Vec<_> =
            args.iter().map(|arg| arg.replace("DIR", &folder.path().display().to_string())).collect();
        let at = free_address();
        let is_tls = args.iter().any(|arg| arg == "--tls-port");
        let process = spawn(folder.path(), at, &args);
        let server = Self { process, folder, at, args, is_tls };
        server.answers().await;
        server
    }

    /// With TLS: its authority's certificate is `ca.pem` in its folder.
    pub async fn start_with_tls() -> (Self, Vec<u8>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        make_certificates(folder.path());
        let authority = fs::read(folder.path().join("ca.pem")).expect("it has been made");
        let at = free_address();
        let port = at.port().to_string();
        let args = ["--port", "0", "--tls-port", &port, "--tls-cert-file", "server.pem"];
        let rest =
            ["--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no"];
        let args: Vec<_> = args.iter().chain(&rest).map(ToString::to_string).collect();
        let process = spawn(folder.path(), at, &args);
        let server = Self { process, folder, at, args, is_tls: true };
        let listens = async || std::net::TcpStream::connect(at).ok().map(|_| ());
        until("Redis listens", PATIENCE, listens).await;
        (server, authority)
    }

    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// As `[fleet] redis` has it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.at)
    }

    pub fn address(&self) -> Address {
        Address {
            layout: Layout::Single,
            tls: self.is_tls,
            servers: vec![(self.at.ip().to_string(), self.at.port())],
            user: None,
            password: None,
            database: 0,
            authorities: None,
        }
    }

    /// What it answers to a command.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let (name, rest) = words.split_first().expect("a command");
        redis::cmd(name).arg(rest).query_async(&mut connection).await
    }

    /// Somebody who may do only what a fleet needs.
    pub async fn add_user(&self) {
        let who = ["ACL", "SETUSER", "tollgate", "reset", "on", ">secret"];
        let rights = USERS.lines().next().expect("a user").split_whitespace().skip(4);
        let words: Vec<_> = who.into_iter().chain(rights).collect();
        let () = self.ask(&words).await;
    }

    /// Until it is ready for commands.
    pub async fn answers(&self) {
        let answers = async || self.try_ask::<String>(&["PING"]).await.ok();
        until("Redis answers", PATIENCE, answers).await;
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("a process of ours");
        self.process.wait().expect("it has been killed");
    }

    /// Again, as empty as at first, on the same port.
    pub async fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.folder.path(), self.at, &self.args);
        self.answers().await;
    }

    /// It does nothing any more, and its connections stay.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.process.id().to_string()).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &Path, at: SocketAddr, args: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    // A Sentinel's first word is its file.
    let (file, args) = args.split_at(usize::from(args.first().is_some_and(|arg| arg == SENTINEL_FILE)));
    command.args(file).args(["--bind", "127.0.0.1", "--port", &at.port().to_string()]);
    if file.is_empty() {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed: apt-get install redis-server")
}

/// An authority, and a server's certificate for 127.0.0.1.
fn make_certificates(folder: &Path) {
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("a file");
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=redis",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    ] {
        let ran = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
        let ran = ran.expect("openssl is installed");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// As who [`Redis::add_user`] has added.
pub fn as_user(address: Address) -> Address {
    Address { user: Some("tollgate".to_owned()), password: Some("secret".to_owned()), ..address }
}

/// Three servers that share the slots.
pub struct Cluster {
    pub servers: Vec<Redis>,
}

impl Cluster {
    pub async fn start() -> Self {
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..3 {
            let bus = free_address().port().to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
            servers.push(Redis::start_with(&args).await);
            buses.push(bus);
        }
        for (server, slots) in servers.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).await;
        }
        for (server, bus) in servers.iter().zip(&buses).skip(1) {
            let port = server.at.port().to_string();
            let () = servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
        }
        for server in &servers {
            let is_whole = async || {
                let info: String = server.ask(&["CLUSTER", "INFO"]).await;
                let knows_all = info.contains("cluster_known_nodes:3");
                (info.contains("cluster_state:ok") && knows_all).then_some(())
            };
            until("the cluster is whole", PATIENCE, is_whole).await;
        }
        Self { servers }
    }

    pub fn address(&self) -> Address {
        let servers = self.servers.iter().flat_map(|server| server.address().servers).collect();
        Address { layout: Layout::Cluster, servers, ..self.servers[0].address() }
    }
}

/// A master, its replica, and the Sentinel that watches them.
pub struct Watched {
    pub master: Redis,
    pub replica: Redis,
    sentinel: Redis,
}

impl Watched {
    pub async fn start() -> Self {
        let master = Redis::start_with(&["--repl-diskless-sync-delay", "0"]).await;
        let port = master.at.port().to_string();
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]).await;
        let follows = async || {
            let info: String = replica.ask(&["INFO", "replication"]).await;
            info.contains("master_link_status:up").then_some(())
        };
        until("the replica follows", PATIENCE, follows).await;
        let sentinel = Self::watch(&master).await;
        let knows = async || {
            let found: Vec<redis::Value> = sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).await;
            (!found.is_empty()).then_some(())
        };
        until("the Sentinel knows the replica", PATIENCE, knows).await;
        Self { master, replica, sentinel }
    }

    async fn watch(master: &Redis) -> Redis {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = free_address();
        let port = master.at.port();
        let lines = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 300\n\
             sentinel failover-timeout main 2000\n"
        );
        fs::write(folder.path().join(SENTINEL_FILE), lines).expect("a file");
        let args = [SENTINEL_FILE.to_owned(), "--sentinel".to_owned()];
        let process = spawn(folder.path(), at, &args);
        let sentinel = Redis { process, folder, at, args: args.into(), is_tls: false };
        sentinel.answers().await;
        sentinel
    }

    pub fn address(&self) -> Address {
        let layout = Layout::Sentinel { master: "main".to_owned() };
        Address { layout, ..self.sentinel.address() }
    }

    /// Which one the Sentinel names now.
    pub async fn master_port(&self) -> u16 {
        let named: (String, String) =
            self.sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).await;
        named.1.parse().expect("a port")
    }
}

/// A member's deadline in tests: a busy machine is not away.
pub const TIMEOUT: Duration = Duration::from_millis(500);
