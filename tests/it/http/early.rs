//! An API that answers before it has read the request.

use std::net::SocketAddr;

use http::Method;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::World;

/// More than fits between gateway and API at once, and no more than a plain request may carry.
const BODY_BYTES: usize = 64 * 1024;
/// Small segments and little room: the system keeps some 30 KiB of what is sent and not read.
const SEGMENT_BYTES: u32 = 536;
const ROOM_BYTES: usize = 4 * 1024;

const REFUSAL: &[u8] =
    b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoo long";

/// Refuses every request by its header, and closes the connection with the body unread.
async fn refusing_api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    SockRef::from(&listener).set_tcp_mss(SEGMENT_BYTES).expect("small segments");
    SockRef::from(&listener).set_recv_buffer_size(ROOM_BYTES).expect("little room");
    let address = listener.local_addr().expect("a bound port");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse(stream));
        }
    });
    address
}

async fn refuse(mut stream: TcpStream) {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return;
        }
    }
    // The gateway may have been told already that nobody listens.
    let _ = stream.write_all(REFUSAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_body_was_taken_reaches_the_client() {
    let api = refusing_api().await;
    let world = World::builder().config(&format!("[upstreams.api]\nservers = [\"{api}\"]")).start().await;
    let customer = world.customer("long-winded");
    for _ in 0..8 {
        let asked = customer.ask(Method::POST, "/signals", |request| request.body(vec![b'x'; BODY_BYTES]));
        let reply = asked.await;
        assert_eq!((reply.status, reply.text()), (413, "too long".to_owned()));
    }
    world.finish().await;
}
