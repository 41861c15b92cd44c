//! HTTP/2 towards clients.

mod attacks;
mod conformance;
mod ends;
mod frames;
mod others;
mod requests;

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::harness::{Http2, World, free_address};

/// A world with a port for HTTP/2 without TLS.
struct Multiplexed {
    world: World,
    h2c: SocketAddr,
}

impl Multiplexed {
    async fn start(config: &str) -> Self {
        let h2c = free_address();
        let doors = format!("[server]\nh2c_listen = [\"{h2c}\"]");
        Self { world: World::builder().config(&doors).config(config).start().await, h2c }
    }

    async fn connect(&self) -> Http2 {
        self.world.http2_over(self.tcp().await).await
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.h2c).await.expect("the port is open")
    }
}
