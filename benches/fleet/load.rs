//! Clients that ask as fast as they are answered, on connections that are kept, and a tiny API for the gateways.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Answers everything with two bytes, for as long as the runtime lives.
pub async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(stream: TcpStream) {
    stream.set_nodelay(true).expect("a socket");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while matches!(stream.read_line(&mut line).await, Ok(1..)) {
        if line == "\r\n" && stream.write_all(ANSWER).await.is_err() {
            return;
        }
        line.clear();
    }
}

/// Microseconds that each request took, sorted.
#[derive(Default)]
pub struct Tally {
    micros: Vec<u32>,
}

impl Tally {
    pub fn requests(&self) -> u64 {
        self.micros.len() as u64
    }

    pub fn percentile(&self, percent: usize) -> u32 {
        self.micros[(self.micros.len() * percent / 100).min(self.micros.len() - 1)]
    }
}

/// So many connections, shared among the gateways; each rotates through the tokens.
pub async fn run(gateways: &[SocketAddr], tokens: &[String], connections: usize, lasts: Duration) -> Tally {
    let until = Instant::now() + lasts;
    let mut clients = JoinSet::new();
    for at in 0..connections {
        let gateway = gateways[at % gateways.len()];
        let requests = tokens.iter().map(|token| request(token)).collect();
        clients.spawn(ask_on_and_on(gateway, requests, at * 7, until));
    }
    let mut micros = clients.join_all().await.concat();
    micros.sort_unstable();
    Tally { micros }
}

/// One connection on which each of these asks once.
pub async fn each_once(gateway: SocketAddr, tokens: &[String]) -> Tally {
    let mut connection = Connection::to(gateway).await;
    let mut micros = Vec::with_capacity(tokens.len());
    for token in tokens {
        micros.push(connection.ask(&request(token)).await);
    }
    micros.sort_unstable();
    Tally { micros }
}

fn request(token: &str) -> Vec<u8> {
    format!("GET /signals HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

async fn ask_on_and_on(
    gateway: SocketAddr,
    requests: Vec<Vec<u8>>,
    first: usize,
    until: Instant,
) -> Vec<u32> {
    let mut connection = Connection::to(gateway).await;
    let mut micros = Vec::new();
    let mut turn = first;
    while Instant::now() < until {
        micros.push(connection.ask(&requests[turn % requests.len()]).await);
        turn += 1;
    }
    micros
}

struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    async fn to(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream: BufReader::new(stream), line: String::new() }
    }

    async fn ask(&mut self, request: &[u8]) -> u32 {
        let sent = Instant::now();
        self.stream.write_all(request).await.expect("it is kept");
        let mut length = 0;
        let mut is_first = true;
        loop {
            self.line.clear();
            let read = self.stream.read_line(&mut self.line).await.expect("an answer");
            assert!(read > 0, "the connection was closed");
            if std::mem::take(&mut is_first) {
                assert!(self.line.starts_with("HTTP/1.1 200"), "{}", self.line);
            }
            if let Some((name, value)) = self.line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            if self.line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("a whole answer");
        u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX)
    }
}
