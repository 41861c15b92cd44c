//! WebSockets whose cost is what passes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::held;
use crate::harness::World;

/// The key of RFC 6455, section 1.3, and what it is answered with.
const ASKED: &str = "GET /live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_passed_through_a_websocket_is_charged_when_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    let config = format!(
        "[upstreams.api]\nservers = [\"{address}\"]\n
        [[routes]]\npath = \"/live\"\ncost = {{ api_calls = {{ bytes = \"1KiB\", hold = 5 }} }}"
    );
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("talker");
    let api = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        stream.write_all(AGREED.as_bytes()).await.expect("it is open");
        let mut sent = vec![0; 3_000];
        stream.read_exact(&mut sent).await.expect("all of it");
        stream.write_all(&[b'y'; 4_000]).await.expect("it is open");
        stream
    });
    let mut wire = world.wire().await;
    let reply = wire.ask_for_head(&customer, ASKED).await;
    assert_eq!((reply.status, held(&reply)), (101, Some(5)));
    assert_eq!(customer.used().await, 5);
    let (mut stream, ahead) = wire.into_stream();
    stream.write_all(&[b'x'; 3_000]).await.expect("it is open");
    let mut got = vec![0; 4_000 - ahead.len()];
    stream.read_exact(&mut got).await.expect("all of it");
    drop(api.await.expect("it ran"));
    drop(stream);
    customer.owes("api_calls=7");
    customer.until_used(7).await;
    world.finish().await;
}
