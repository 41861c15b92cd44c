//! The way from a gateway to Redis: it can be cut, be so slow that nothing passes, or lose what is published.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Nothing passes, and nothing is lost.
    Stalled,
    /// Connections end, and new ones with them.
    Cut,
    /// Nothing that is published arrives.
    Mute,
}

pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// In front of a server.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (mode, modes) = watch::channel(Mode::Open);
        Self { address, mode, listening: tokio::spawn(carry(listener, to, modes)) }
    }

    /// As `[fleet] redis` has it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }

    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    pub fn mute(&self) {
        self.mode.send_replace(Mode::Mute);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

async fn carry(listener: TcpListener, to: SocketAddr, modes: watch::Receiver<Mode>) {
    while let Ok((near, _)) = listener.accept().await {
        if *modes.borrow() != Mode::Cut {
            tokio::spawn(connect(near, to, modes.clone()));
        }
    }
}

async fn connect(near: TcpStream, to: SocketAddr, modes: watch::Receiver<Mode>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let hears = Arc::new(AtomicBool::new(false));
    let there = Pump { modes: modes.clone(), hears: hears.clone(), is_answer: false };
    let back = Pump { modes, hears, is_answer: true };
    // Both ends close when one way has ended.
    tokio::select! {
        () = there.run(near_in, far_out) => {}
        () = back.run(far_in, near_out) => {}
    }
}

/// One way of a connection.
struct Pump {
    modes: watch::Receiver<Mode>,
    /// Whether its client has subscribed to something.
    hears: Arc<AtomicBool>,
    is_answer: bool,
}

impl Pump {
    async fn run(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 65_536];
        let mut cut = self.modes.clone();
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read.unwrap_or(0),
                _ = cut.wait_for(|mode| *mode == Mode::Cut) => return,
            };
            if read == 0 {
                return;
            }
            let Ok(mode) = self.modes.wait_for(|mode| *mode != Mode::Stalled).await.map(|mode| *mode) else {
                return;
            };
            if !self.is_answer && subscribes(&buffer[..read]) {
                self.hears.store(true, Ordering::Relaxed);
            }
            let is_lost = mode == Mode::Mute && self.is_answer && self.hears.load(Ordering::Relaxed);
            if mode == Mode::Cut || (!is_lost && to.write_all(&buffer[..read]).await.is_err()) {
                return;
            }
        }
    }
}

/// A client that subscribes sends this in its first words.
fn subscribes(words: &[u8]) -> bool {
    words.windows(9).any(|word| word.eq_ignore_ascii_case(b"subscribe"))
}
