//! An answer that is read as it comes.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Wire};

/// The body of an answer in chunks.
pub struct Open {
    stream: TcpStream,
    /// What is not decoded yet.
    raw: Vec<u8>,
    body: String,
    ended: bool,
}

impl Open {
    /// What follows the head that was read last.
    pub fn of(wire: Wire) -> Self {
        let (stream, raw) = wire.into_stream();
        let mut open = Self { stream, raw, body: String::new(), ended: false };
        open.decode();
        open
    }

    /// Waits until the body has this text.
    pub async fn until(&mut self, text: &str) {
        while !self.body.contains(text) {
            assert!(self.read().await, "the body ends without {text:?}: {}", self.body);
        }
    }

    /// Whether the body has this text by now.
    pub fn has(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    /// Waits for the end; whether it was one, and not only that of the connection.
    pub async fn end(&mut self) -> bool {
        while self.read().await {}
        self.ended
    }

    async fn read(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await.expect("more, or an end");
        self.decode();
        read.is_ok_and(|read| read > 0)
    }

    /// Takes whole chunks.
    fn decode(&mut self) {
        while let Some(line) = self.raw.windows(2).position(|pair| pair == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size");
            let end = line + 2 + size + 2;
            if self.raw.len() < end {
                return;
            }
            let chunk: Vec<u8> = self.raw.drain(..end).collect();
            self.body.push_str(std::str::from_utf8(&chunk[line + 2..end - 2]).expect("text"));
            self.ended |= size == 0;
        }
    }
}
