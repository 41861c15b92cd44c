//! A server of Redis, and how many commands it is sent.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::FromRedisValue;
use tempfile::TempDir;
use tollgate::fleet::{Address, Layout};

/// Empty, and keeps nothing on disk.
pub struct Redis {
    process: Child,
    pub at: SocketAddr,
    _folder: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = free_address();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &at.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        while TcpStream::connect(at).is_err() {
            std::thread::yield_now();
        }
        Self { process, at, _folder: folder }
    }

    pub fn address(&self) -> Address {
        Address {
            layout: Layout::Single,
            tls: false,
            servers: vec![(self.at.ip().to_string(), self.at.port())],
            user: None,
            password: None,
            database: 0,
            authorities: None,
        }
    }

    pub fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://{}", self.at)).expect("an address")
    }

    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.client().get_connection().expect("it listens");
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).expect("an answer")
    }

    /// Bytes of everything that it holds.
    pub fn memory(&self) -> u64 {
        let info: String = self.ask(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
    }

    /// Counts commands from now on, without those that scripts call.
    pub fn count(&self) -> Count {
        let mut stream = TcpStream::connect(self.at).expect("it listens");
        stream.write_all(b"MONITOR\r\n").expect("it listens");
        let commands = Arc::<AtomicU64>::default();
        let counted = commands.clone();
        // Until the server is gone.
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                // +1339518083.107412 [0 lua] "get" "a"
                let head = &line[..line.len().min(40)];
                if head.starts_with(b"+1") && !head.windows(5).any(|part| part == b" lua]") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Count(commands)
    }
}

pub struct Count(Arc<AtomicU64>);

impl Count {
    pub fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().expect("a child");
        self.process.wait().expect("a child");
    }
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port")
}
