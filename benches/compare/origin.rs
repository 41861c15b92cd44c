//! An upstream that costs little: one thread, and the same kilobyte of JSON for every request. `origin LISTEN`
//!
//! Connections are kept; requests must come without a body.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY_BYTES: usize = 1_024;
const HEAD_END: &[u8] = b"\r\n\r\n";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listen = std::env::args().nth(1).expect("usage: origin LISTEN");
    let listen: SocketAddr = listen.parse().expect("an address and port");
    let listener = TcpListener::bind(listen).await.expect("the port is free");
    let answer: &'static [u8] = answer().leak();
    loop {
        let (client, _) = listener.accept().await.expect("descriptors are left");
        // A client that breaks off ends its connection, and nothing else.
        tokio::spawn(async move { serve(client, answer).await.ok() });
    }
}

async fn serve(mut client: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut unread = Vec::with_capacity(4_096);
    while client.read_buf(&mut unread).await? > 0 {
        while let Some(end) = unread.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) {
            unread.drain(..end + HEAD_END.len());
            client.write_all(answer).await?;
        }
    }
    Ok(())
}

fn answer() -> Vec<u8> {
    let filler = "x".repeat(BODY_BYTES - r#"{"data":""}"#.len());
    format!(
        "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-type: application/json\r\n\
         content-length: {BODY_BYTES}\r\n\r\n{{\"data\":\"{filler}\"}}"
    )
    .into_bytes()
}
