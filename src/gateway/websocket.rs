//! WebSockets (RFC 6455): which request asks for one, and its bytes once the upstream has agreed.
//!
//! # What it promises
//!
//! - It is charged with its 101; nothing that happens later is charged or taken back, but for what its route measures:
//!   time, bytes and messages are charged while they pass, and what is no frame does not pass where messages are
//!   priced.
//! - A limit ends it with a close frame, 1008, where no other frame is under way.
//! - No size limits what passes, and neither direction waits for the other.
//! - Silence cuts it when it is that of both sides, for `upstreams.NAME.idle_timeout`.
//! - What a side sent before it closed arrives; then the other side is closed, and has [`FAREWELL`] to end as well.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, header};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::client::HttpSession as Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::exchange;
use super::slices::{Direction, Slices, Stopped};
use super::upstreams::Picked;

/// What is read at once. Each WebSocket holds it twice, however silent it is.
const PIECE_BYTES: usize = 8 * 1024;
/// How long one side may go on when the other has closed.
const FAREWELL: Duration = Duration::from_secs(5);
const FINAL_CLOSE: u8 = 0x88;
/// RFC 6455, section 7.4.1.
const POLICY_VIOLATION: u16 = 1008;
/// What a control frame has room for behind the status.
const MOST_REASON_BYTES: usize = 123;

/// Whether a request asks for a WebSocket, and for nothing else beside its answer.
pub(super) fn is_asked_for(request: &RequestHeader) -> bool {
    let one = |name| request.headers.get_all(name).iter().count() == 1;
    let granted = |name: &header::HeaderName, wish: &[u8]| match *name {
        header::UPGRADE => wish.eq_ignore_ascii_case(b"websocket"),
        header::CONNECTION => is_upgrade(wish),
        _ => false,
    };
    request.method == Method::GET
        && !request.headers.contains_key(header::CONTENT_LENGTH)
        && one(header::UPGRADE)
        && one(header::CONNECTION)
        && exchange::asks_only(request, granted)
}

/// Whether `Connection` names the upgrade and no header that only we should see.
fn is_upgrade(connection: &[u8]) -> bool {
    let mut wishes = connection.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let upgrades = |wish: &[u8]| wish.eq_ignore_ascii_case(b"upgrade");
    wishes.clone().any(upgrades)
        && wishes.all(|wish| upgrades(wish) || wish.eq_ignore_ascii_case(b"keep-alive"))
}

/// The upstream's side of a WebSocket.
pub(super) struct Opened {
    upstream: Stream,
    /// What came with the 101.
    first: Option<Bytes>,
    idle_timeout: Duration,
    /// Busy with it until it is over.
    _server: Picked,
}

impl Opened {
    pub fn new(mut upstream: Client, idle_timeout: Duration, server: Picked) -> Self {
        // What has been read already is there at once. An end or an error is met again.
        let first = upstream.read_body_bytes().now_or_never().and_then(Result::ok).flatten();
        Self { upstream: upstream.into_inner(), first, idle_timeout, _server: server }
    }

    /// Passes bytes both ways until it is over, or a limit is reached where they are priced.
    pub async fn pass(self, client: ServerSession, slices: Option<&Slices>) {
        let ServerSession::H1(client) = client else { return };
        let Self { upstream, first, idle_timeout, _server } = self;
        let (mut from_client, mut to_client) = split(client.into_inner());
        let (mut from_upstream, mut to_upstream) = split(upstream);
        let mut priced_up = slices.map(Slices::up);
        let mut priced_down = slices.map(Slices::down);
        let moved = Moved::default();
        let is_cut = {
            let up = pass(&mut from_client, &mut to_upstream, &mut priced_up, None, &moved);
            let down = pass(&mut from_upstream, &mut to_client, &mut priced_down, first, &moved);
            let (mut up, mut down) = (pin!(up), pin!(down));
            tokio::select! {
                ended = &mut up => farewell(ended, down).await,
                ended = &mut down => farewell(ended, up).await,
                () = moved.nothing_for(idle_timeout) => tracing::debug!("a silent WebSocket was closed"),
                () = cut(slices) => {}
            }
            slices.and_then(Slices::cut)
        };
        if let Some(problem) = is_cut {
            drop((from_upstream, to_upstream));
            if priced_down.is_some_and(|down| down.is_between()) {
                // A client that is gone hears nothing.
                let _ = to_client.write_all(&close_frame(problem.code.as_str())).await;
            }
            let _ = timeout(FAREWELL, see_off(&mut from_client, &mut to_client)).await;
        }
    }
}

/// Returns when a limit has cut what is priced.
async fn cut(slices: Option<&Slices>) {
    match slices {
        Some(slices) => slices.watch().await,
        None => pending().await,
    }
}

/// A close frame of a server (RFC 6455, section 5.5.1).
fn close_frame(reason: &str) -> Vec<u8> {
    let reason = reason.get(..MOST_REASON_BYTES).unwrap_or(reason).as_bytes();
    let payload = [&POLICY_VIOLATION.to_be_bytes(), reason].concat();
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    [&[FINAL_CLOSE, length], &*payload].concat()
}

/// Says that nothing more comes, and hears the client out: closing on what it has sent would reset what it was told.
async fn see_off(from: &mut ReadHalf<Stream>, to: &mut WriteHalf<Stream>) -> io::Result<()> {
    to.shutdown().await?;
    let mut piece = vec![0; PIECE_BYTES];
    while from.read(&mut piece).await? > 0 {}
    Ok(())
}

/// Passes one direction's bytes until its sender closes, and passes that on.
async fn pass(
    from: &mut ReadHalf<Stream>,
    to: &mut WriteHalf<Stream>,
    priced: &mut Option<Direction<'_>>,
    first: Option<Bytes>,
    moved: &Moved,
) -> io::Result<()> {
    if let Some(first) = first {
        write(to, &first, priced).await?;
    }
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        moved.note();
        if read == 0 {
            return to.shutdown().await;
        }
        write(to, &piece[..read], priced).await?;
        moved.note();
    }
}

async fn write(
    to: &mut WriteHalf<Stream>,
    piece: &[u8],
    priced: &mut Option<Direction<'_>>,
) -> io::Result<()> {
    if let Some(priced) = priced {
        match priced.begin(piece).await {
            Ok(()) => {}
            Err(Stopped::NoFrame(error)) => return Err(error),
            // Whoever watches ends it.
            Err(Stopped::ByLimit) => pending().await,
        }
    }
    to.write_all(piece).await?;
    to.flush().await?;
    if let Some(priced) = priced {
        priced.end();
    }
    Ok(())
}

/// One side has closed: the other may answer it. A connection that broke leaves nobody to tell.
async fn farewell(ended: io::Result<()>, other: impl Future<Output = io::Result<()>>) {
    if ended.is_ok() {
        // However it ends, both are closed now.
        let _ = timeout(FAREWELL, other).await;
    }
}

/// When bytes last moved, in either direction.
struct Moved {
    opened: Instant,
    /// In nanoseconds since it was opened.
    last: AtomicU64,
}

impl Default for Moved {
    fn default() -> Self {
        Self { opened: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Moved {
    fn note(&self) {
        let since = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for as long as `limit`. Bytes set no timer: it looks again when it goes off.
    async fn nothing_for(&self, limit: Duration) {
        loop {
            let until = self.opened + Duration::from_nanos(self.last.load(Ordering::Relaxed)) + limit;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut request = RequestHeader::build(method, b"/chat", None).expect("a request");
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        is_asked_for(&request)
    }

    #[test]
    fn a_websocket_is_a_get_that_upgrades_to_it_and_asks_for_nothing_else() {
        let host = ("host", "a");
        let upgrade = ("upgrade", "WebSocket");
        for connection in ["Upgrade", "keep-alive, upgrade", "upgrade ,Keep-Alive"] {
            assert!(asked("GET", &[host, upgrade, ("connection", connection)]), "{connection}");
        }
        let connection = ("connection", "upgrade");
        for wrong in [
            &[host, upgrade][..],
            &[host, connection],
            &[upgrade, connection],
            &[host, upgrade, ("connection", "keep-alive")],
            &[host, upgrade, ("connection", "close, upgrade")],
            &[host, upgrade, ("connection", "upgrade, authorization")],
            &[host, upgrade, connection, connection],
            &[host, upgrade, upgrade, connection],
            &[host, ("upgrade", "h2c"), connection],
            &[host, ("upgrade", "websocket, h2c"), connection],
            &[host, upgrade, connection, ("http2-settings", "AA")],
            &[host, upgrade, connection, ("content-length", "2")],
            &[host, upgrade, connection, ("transfer-encoding", "chunked")],
            &[host, upgrade, connection, ("te", "trailers")],
            &[host, upgrade, connection, ("expect", "100-continue")],
        ] {
            assert!(!asked("GET", wrong), "{wrong:?}");
        }
        assert!(!asked("POST", &[host, upgrade, connection]));
    }
}
