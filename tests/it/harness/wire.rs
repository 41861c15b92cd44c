//! HTTP/1.1 by hand, on one connection, for what no client library would send.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::books::Seen;
use super::http2::Http2;
use super::{Customer, Reply};

/// One connection.
pub struct Wire<S = TcpStream> {
    stream: S,
    /// What was read beyond the last answer.
    ahead: Vec<u8>,
    seen: Arc<Seen>,
}

/// The way to the public port.
pub struct Wires {
    public: SocketAddr,
    seen: Arc<Seen>,
}

impl Wires {
    pub(super) fn new(public: SocketAddr, seen: Arc<Seen>) -> Self {
        Self { public, seen }
    }

    pub async fn connect(&self) -> Wire {
        Wire::connect(self.public, self.seen.clone()).await
    }

    /// HTTP/1 over any connection to the gateway.
    pub fn over<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Wire<S> {
        Wire::over(stream, self.seen.clone())
    }

    /// HTTP/2 over any connection to the gateway.
    pub async fn http2_over<S>(&self, stream: S) -> Http2
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Http2::over(stream, self.seen.clone()).await
    }
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr, seen: Arc<Seen>) -> Self {
        Self::over(TcpStream::connect(address).await.expect("the port is open"), seen)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn over(stream: S, seen: Arc<Seen>) -> Self {
        Self { stream, ahead: Vec::new(), seen }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &str) {
        assert!(self.try_send(bytes).await, "the connection is open");
    }

    /// Sends bytes, and says whether the connection is still open.
    pub async fn try_send(&mut self, bytes: &str) -> bool {
        self.stream.write_all(bytes.as_bytes()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
    }

    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends a request of a customer: the request line and headers as written, without the last empty line.
    pub async fn ask(&mut self, customer: &Customer, head: &str) -> Reply {
        self.ask_with(customer, head, "").await
    }

    /// The same with a body, which is sent as it is.
    pub async fn ask_with(&mut self, customer: &Customer, head: &str, body: &str) -> Reply {
        let method = head.split(' ').next().unwrap_or_default().to_owned();
        // At once: what comes with the head must not seem to come later.
        let whole = format!("{}{body}", with_token(customer, head));
        self.send(&whole).await;
        self.whole_answer(customer, &method).await
    }

    /// Sends the body of a request whose head was answered with 100.
    pub async fn go_on(&mut self, customer: &Customer, body: &str) -> Reply {
        self.send(body).await;
        self.whole_answer(customer, "").await
    }

    async fn whole_answer(&mut self, customer: &Customer, method: &str) -> Reply {
        let mut reply = self.answer(customer).await;
        reply.body = self.read_body(method, &reply).await.expect("a whole answer");
        reply
    }

    /// The same without a body, and leaves the answer's body unread.
    pub async fn ask_for_head(&mut self, customer: &Customer, head: &str) -> Reply {
        self.send_head(customer, head).await;
        self.answer(customer).await
    }

    /// Waits until some of an answer's body has come.
    pub async fn read_some(&mut self) {
        self.read_until(|bytes| (!bytes.is_empty()).then_some(0)).await.expect("some of the body");
    }

    /// The connection itself, and what has been read beyond the last answer.
    pub fn into_stream(self) -> (S, Vec<u8>) {
        (self.stream, self.ahead)
    }

    /// Sends the head of a request and waits for nothing.
    pub async fn send_head(&mut self, customer: &Customer, head: &str) {
        self.send(&with_token(customer, head)).await;
    }

    /// Reads an answer without its body.
    pub async fn answer(&mut self, customer: &Customer) -> Reply {
        let reply = self.read_head().await.expect("an answer");
        if let Some(cost) = reply.header("x-usage-cost") {
            self.seen.charged(&customer.name, cost);
        }
        reply
    }

    /// Reads the answer to a request of `method`; none when the connection ends instead.
    pub async fn read(&mut self, method: &str) -> Option<Reply> {
        let mut reply = self.read_head().await?;
        reply.body = self.read_body(method, &reply).await?;
        Some(reply)
    }

    /// Reads the answer to what a customer asked, and notes what it cost; none when the connection ends instead.
    pub async fn read_as(&mut self, customer: &Customer, method: &str) -> Option<Reply> {
        let reply = self.read(method).await?;
        if let Some(cost) = reply.header("x-usage-cost") {
            self.seen.charged(&customer.name, cost);
        }
        Some(reply)
    }

    async fn read_head(&mut self) -> Option<Reply> {
        let end = self.read_until(|bytes| find(bytes, b"\r\n\r\n")).await? + 4;
        let head: Vec<u8> = self.ahead.drain(..end).collect();
        let (status, headers) = parse_head(&String::from_utf8_lossy(&head));
        Some(Reply { status, headers, body: Bytes::new() })
    }

    async fn read_body(&mut self, method: &str, head: &Reply) -> Option<Bytes> {
        if head.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks().await;
        }
        let length = match head.header("content-length") {
            _ if method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304 => 0,
            Some(length) => length.parse().expect("a length"),
            None => panic!("an answer without content-length: {head:?}"),
        };
        self.read_until(|bytes| (bytes.len() >= length).then_some(length)).await?;
        Some(self.ahead.drain(..length).collect::<Vec<u8>>().into())
    }

    async fn read_chunks(&mut self) -> Option<Bytes> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(|bytes| find(bytes, b"\r\n")).await?;
            let size: Vec<u8> = self.ahead.drain(..line + 2).collect();
            let size = String::from_utf8_lossy(&size[..line]).into_owned();
            let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
            self.read_until(|bytes| (bytes.len() >= size + 2).then_some(size)).await?;
            body.extend(self.ahead.drain(..size));
            self.ahead.drain(..2);
            if size == 0 {
                return Some(body.into());
            }
        }
    }

    async fn read_until(&mut self, reached: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(end) = reached(&self.ahead) {
                return Some(end);
            }
            let read = self.stream.read_buf(&mut self.ahead).await.ok()?;
            if read == 0 {
                return None;
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn parse_head(head: &str) -> (u16, HeaderMap) {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a header's value"));
    }
    (status.expect("a status"), headers)
}

fn with_token(customer: &Customer, head: &str) -> String {
    format!("{head}\r\nhost: api.test\r\nauthorization: Bearer {}\r\n\r\n", customer.token)
}
