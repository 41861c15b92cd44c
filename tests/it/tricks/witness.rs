//! An API that keeps every byte it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::reading::{Request, Rest, STRICT, read};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Has a length, and no body.
const ANSWER_TO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
const UNREADABLE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Answers every request that it can read by the letter, and keeps connections open.
#[derive(Clone)]
pub struct Witness {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<Bytes>>>,
}

impl Witness {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let witness = Self { address, connections: Arc::default() };
        let connections = witness.connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Bytes::default();
                connections.lock().expect("no test has failed").push(kept.clone());
                tokio::spawn(serve(stream, kept));
            }
        });
        witness
    }

    /// All that came so far, connection by connection.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        let connections = self.connections.lock().expect("no test has failed");
        connections.iter().map(|kept| kept.lock().expect("no test has failed").clone()).collect()
    }

    /// All requests so far, read by the letter.
    pub fn requests(&self) -> Vec<Request> {
        self.heard().iter().flat_map(|bytes| read(bytes, &STRICT).0).collect()
    }

    /// What cannot be read so, on all connections.
    pub fn unreadable(&self) -> Vec<String> {
        let told = |bytes: &Vec<u8>| match read(bytes, &STRICT).1 {
            Rest::Unreadable(why) => Some(format!("{why} in {:?}", String::from_utf8_lossy(bytes))),
            Rest::Nothing | Rest::Open => None,
        };
        self.heard().iter().filter_map(told).collect()
    }
}

async fn serve(mut stream: TcpStream, kept: Bytes) {
    let mut answered = 0;
    let mut read_now = vec![0; 16 * 1024];
    loop {
        let (requests, rest) = read(&kept.lock().expect("no test has failed"), &STRICT);
        for request in requests.iter().filter(|request| request.whole).skip(answered) {
            answered += 1;
            let answer = if request.method == "HEAD" { ANSWER_TO_HEAD } else { ANSWER };
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
        if let Rest::Unreadable(_) = rest {
            // The gateway may have gone.
            let _ = stream.write_all(UNREADABLE).await;
            return;
        }
        match stream.read(&mut read_now).await {
            Ok(0) | Err(_) => return,
            Ok(length) => kept.lock().expect("no test has failed").extend_from_slice(&read_now[..length]),
        }
    }
}
