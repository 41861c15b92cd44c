//! One connection of HTTP/2 and the requests on it, each of which goes through pingora's proxy.
//!
//! The loop is ours: pingora's own would serve requests outside of their [`Connection`], and it sets no limit to what
//! this one does.
//!
//! - A client that has more requests taken back than answered, by `server.h2.resets`, or sends [`MOST_REJECTED`] that
//!   are none, is told to calm down, and its connection ends.
//! - A body that does not come for `server.body_timeout` ends its request, which costs nothing.
//! - A connection that ends, for whatever reason of ours, says so first (GOAWAY); what it has begun is answered.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::server::Connection as Http2;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;

use crate::config::{H2, Limits};
use crate::problem::{Code, Problem};

use super::connections::{Connection, Connections};
use super::phases::body_too_slow;
use super::slices::Leash;
use super::upload::Upload;
use super::{Flow, Parts};

/// Requests that could not be read, over a connection's life.
const MOST_REJECTED: u32 = 32;
/// Those that are reset before they are seen here.
const MOST_MALFORMED: usize = 128;
/// How long a client may take to end its side.
const FAREWELL: Duration = Duration::from_secs(5);
/// What all requests of a connection may send ahead together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is kept of an answer that its client does not take.
const SEND_BUFFER: usize = 256 * 1024;
/// What HTTP/2 counts for a header beside its name and value (RFC 9113, section 6.5.2).
const HEADER_OVERHEAD: u64 = 32;
/// Pseudo-headers, and room to say that there is too much.
const ADDED_HEADERS: u64 = 16;

impl Connections {
    /// Serves a connection whose client speaks HTTP/2 from its first byte.
    pub(super) async fn serve_http2(
        self: &Arc<Self>,
        stream: Stream,
        connection: Arc<Connection>,
        shutdown: &ShutdownWatch,
    ) {
        let (flow, settings, limits) = {
            let parts = self.parts.now();
            (parts.flow.clone(), parts.settings.h2, parts.settings.limits)
        };
        let digest = Arc::new(Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        });
        let _open = Open::begin(&flow);
        let shaken = handshake(stream, Some(options(&settings, &limits)));
        let Ok(Ok(mut h2)) = tokio::time::timeout(limits.header_timeout, shaken).await else { return };
        let mut leaving = Leaving::default();
        let mut must_leave = pin!(self.must_leave(&connection, shutdown.clone()));
        let mut client = Client { resets: settings.resets, ..Client::default() };
        loop {
            let next = tokio::select! {
                biased;
                () = &mut must_leave, if !leaving.begun() => {
                    leaving.begin();
                    h2.graceful_shutdown();
                    continue;
                }
                () = leaving.is_over(&connection), if leaving.begun() => return,
                next = HttpSession::from_h2_conn(&mut h2, digest.clone()) => next,
            };
            match next {
                // It has said goodbye, or is gone.
                Ok(None) | Err(_) => return,
                Ok(Some(H2Accept::Rejected)) => {
                    self.parts.now().note_unheard(&unreadable());
                    client.rejected += 1;
                }
                Ok(Some(H2Accept::Session(session))) => {
                    client.accepted += 1;
                    self.spawn(session, &connection, &client.taken_back, shutdown);
                }
            }
            let is_last = limits.requests_per_connection.is_some_and(|most| client.accepted >= most);
            if client.is_a_nuisance() {
                h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                return see_off(h2, digest).await;
            }
            if !leaving.begun() && (is_last || self.parts.now().is_draining()) {
                leaving.begin();
                h2.graceful_shutdown();
            }
        }
    }

    /// Returns when the connection has rested for too long, or the gateway stops.
    async fn must_leave(&self, connection: &Connection, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.rests(connection) => {}
            // An error means that the server is gone.
            _ = shutdown.wait_for(|stops| *stops) => {}
        }
    }

    /// Serves a request beside the others.
    fn spawn(
        &self,
        session: HttpSession,
        connection: &Arc<Connection>,
        taken_back: &Arc<AtomicU32>,
        shutdown: &ShutdownWatch,
    ) {
        // Refused to nobody here: it is never closed but by the loop above.
        let Some(busy) = Connection::take_up(connection.clone()) else { return };
        let (proxy, parts, shutdown) = (self.proxy.clone(), self.parts.now(), shutdown.clone());
        let upload = Upload::new(session.is_body_done());
        let (own, taken_back) = (upload.clone(), taken_back.clone());
        let served = upload.scope(async move {
            let served = proxy.process_new_http(ServerSession::new_http2(session), &shutdown);
            let served = Leash::scope(served);
            let silent = own.is_silent_for(parts.settings.limits.body_timeout);
            tokio::select! {
                served = served => if served.is_some() { own.settle(&taken_back) },
                // What is dropped is reset, and gives back what it held.
                () = silent => parts.note_unheard(&body_too_slow()),
            }
            drop(busy);
        });
        tokio::spawn(connection.clone().scope(served));
    }
}

fn options(h2: &H2, limits: &Limits) -> H2Options {
    let headers = limits.max_headers as u64 + ADDED_HEADERS;
    let header_list = limits.max_header_bytes + limits.max_uri + headers * HEADER_OVERHEAD;
    let mut options = default_h2_options();
    options
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .max_concurrent_streams(h2.streams)
        .max_concurrent_reset_streams(h2.resets as usize)
        .max_local_error_reset_streams(Some(MOST_MALFORMED))
        .max_pending_accept_reset_streams(h2.resets as usize)
        .initial_window_size(h2.window)
        .initial_connection_window_size(CONNECTION_WINDOW.max(h2.window))
        .max_send_buffer_size(SEND_BUFFER);
    options
}

/// A connection that the gateway waits for when it stops: requests end before their answers have gone out.
struct Open(Arc<Flow>);

impl Open {
    fn begin(flow: &Arc<Flow>) -> Self {
        flow.http2.start();
        Self(flow.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.http2.end();
    }
}

/// What a client has done on its connection.
#[derive(Default)]
struct Client {
    accepted: u64,
    rejected: u32,
    /// Requests that it took back before they were answered, less those that were answered.
    taken_back: Arc<AtomicU32>,
    /// As many as those may be.
    resets: u32,
}

impl Client {
    fn is_a_nuisance(&self) -> bool {
        self.rejected >= MOST_REJECTED || self.taken_back.load(Ordering::Relaxed) > self.resets
    }
}

/// Since when a connection is about to end.
#[derive(Default)]
struct Leaving(Option<Instant>);

impl Leaving {
    fn begin(&mut self) {
        self.0.get_or_insert_with(Instant::now);
    }

    fn begun(&self) -> bool {
        self.0.is_some()
    }

    /// Returns when nothing has been under way for a while, and the client has had its time.
    async fn is_over(&self, connection: &Connection) {
        let since = self.0.unwrap_or_else(Instant::now);
        tokio::time::sleep_until((since + FAREWELL).into()).await;
        connection.rests_for(FAREWELL, FAREWELL).await;
    }
}

/// Lets the last frames go out.
async fn see_off(mut h2: Http2<Stream, Bytes>, digest: Arc<Digest>) {
    let rest = async { while let Ok(Some(_)) = HttpSession::from_h2_conn(&mut h2, digest.clone()).await {} };
    // A client that does not take them is left.
    let _ = tokio::time::timeout(FAREWELL, rest).await;
}

fn unreadable() -> Problem {
    Problem::new(Code::BadRequest, "the request could not be read")
}

impl Parts {
    /// Counts a problem of which the client hears by a reset of its request alone.
    fn note_unheard(&self, problem: &Problem) {
        tracing::info!(code = problem.code.as_str(), "refused by a reset");
        self.counters.refused(problem.code);
        self.counters.answered(None, problem.status(), Duration::ZERO);
    }

    fn is_draining(&self) -> bool {
        self.flow.draining.load(Ordering::Relaxed)
    }
}
