//! The way from the gateway to Stripe, which can be closed: then whoever connects is refused.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::config::free_address;

pub struct Road {
    address: SocketAddr,
    /// Host and port behind it.
    to: String,
    open: Option<JoinHandle<()>>,
}

impl Road {
    /// A road to a base URL.
    pub async fn open(base: &str) -> Self {
        let to = base.trim_start_matches("http://").to_owned();
        let mut road = Self { address: free_address(), to, open: None };
        road.reopen().await;
        road
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn reopen(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        self.open = Some(tokio::spawn(carry(listener, self.to.clone())));
    }

    /// Ends every connection, and refuses new ones.
    pub async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
            // Cancelled, as it was just asked to be.
            let _ = open.await;
        }
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.abort();
        }
    }
}

/// The connections end with this task.
async fn carry(listener: TcpListener, to: String) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let to = to.clone();
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(&to).await {
                // A connection that breaks is what a road is for.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
