//! One connection's requests, one after the other.
//!
//! A header is read and parsed here, by pingora's session. A plain request is served at once, as is one that opens a
//! WebSocket; any other is put back, as the bytes that it came in, and goes through pingora's proxy.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;
use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType};
use tokio::io::AsyncReadExt;

use crate::clock;
use crate::live::Kept;
use crate::problem::{Code, Problem};

use super::admission::Destination;
use super::answer::linger;
use super::connections::{Connection, Connections};
use super::context::Context;
use super::doors::Kind;
use super::slices::Leash;
use super::websocket::{self, Opened};
use super::{Parts, exchange};

/// Most headers need no more room than this.
const HEADER_BYTES: usize = 4 * 1024;
/// A longer header is left to pingora's session, which refuses it.
const MOST_HEADER_BYTES: usize = 1024 * 1024;

impl Connections {
    /// Serves requests until the connection closes, or should.
    pub(super) async fn serve(
        &self,
        mut stream: Stream,
        connection: &Arc<Connection>,
        shutdown: &ShutdownWatch,
    ) {
        let mut parts = Kept::new(&self.parts);
        let mut served = 0;
        loop {
            let (read, end) = match self.read_header(&mut stream, connection).await {
                Ok(Some(header)) => header,
                Ok(None) => return,
                Err(Late) => return Box::pin(parts.now().refuse_late(stream)).await,
            };
            let Some(busy) = Connection::take_up(&**connection) else { return };
            served += 1;
            // With a body behind the header, or a part of it, the bytes are needed to put them back.
            let put_back = (end != Some(read.len())).then(|| Bytes::copy_from_slice(&read));
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(0));
            session.set_pipelined_prefix(read);
            let parts = parts.now();
            if parts.settings.limits.requests_per_connection.is_some_and(|most| served >= most) {
                connection.close_after_this();
            }
            let kept = match session.read_request().await {
                Ok(true) if connection.kind == Kind::Redirect && parts.redirects(&session) => {
                    Box::pin(parts.redirect(session)).await;
                    None
                }
                Ok(true) if exchange::is_plain(session.req_header()) && !parts.goes_by_h2(&session) => {
                    parts.serve_plain(session, connection).await
                }
                // Who says more before the answer is not heard as a WebSocket.
                Ok(true) if put_back.is_none() && websocket::is_asked_for(session.req_header()) => {
                    parts.serve_plain(session, connection).await
                }
                Ok(true) => self.serve_by_pingora(session, put_back, shutdown).await,
                Ok(false) => None,
                Err(error) => {
                    // What follows cannot be told from what could not be read.
                    Box::pin(parts.refuse_unreadable(session, &error)).await;
                    None
                }
            };
            drop(busy);
            // Who finds the connection busy while the gateway stops leaves it to us.
            let Some(next) = kept.filter(|_| !connection.closes()) else { return };
            stream = next;
        }
    }

    /// Reads until a header is complete, and says where it ends, or until it is clear that it cannot be one. None when
    /// the client has closed. A header that comes at once sets no timer.
    async fn read_header(
        &self,
        stream: &mut Stream,
        connection: &Connection,
    ) -> Result<Option<(BytesMut, Option<usize>)>, Late> {
        let mut read = BytesMut::new();
        while read.is_empty() {
            if !read_more(stream, &mut read).await {
                return Ok(None);
            }
        }
        if let Some(end) = known_end(&read) {
            return Ok(Some((read, end)));
        }
        let rest = async {
            while read_more(stream, &mut read).await {
                if let Some(end) = known_end(&read) {
                    return Some(end);
                }
            }
            None
        };
        let limit = self.parts.now().settings.limits.header_timeout;
        connection.awaits_header.store(true, Ordering::Relaxed);
        let end = Box::pin(tokio::time::timeout(limit, rest)).await;
        connection.awaits_header.store(false, Ordering::Relaxed);
        Ok(end.map_err(|_| Late)?.map(|end| (read, end)))
    }

    async fn serve_by_pingora(
        &self,
        session: ServerSession,
        put_back: Option<Bytes>,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let ServerSession::H1(session) = session else { return None };
        let header = put_back.unwrap_or_else(|| session.get_headers_raw_bytes());
        let mut session = ServerSession::new_http1(session.into_inner());
        session.set_keepalive(Some(0));
        session.set_pipelined_prefix(BytesMut::from(header));
        let reused = Leash::scope(self.proxy.process_new_http(session, shutdown)).await??;
        Some(reused.consume().0)
    }
}

/// A header that began and did not come in time.
struct Late;

/// What becomes of a connection after an answer.
enum Then {
    Next,
    Close,
    Pass(Opened),
}

impl Parts {
    fn redirects(&self, session: &ServerSession) -> bool {
        self.settings.redirects.are_for(session.req_header())
    }

    async fn refuse_late(&self, stream: Stream) {
        let problem = Problem::new(Code::RequestTimeout, "the request's header did not come in time");
        self.refuse_unread(ServerSession::new_http1(stream), &problem, clock::now()).await;
    }

    /// Whether a request's route leads to servers that may speak HTTP/2, which pingora's way does alone.
    fn goes_by_h2(&self, session: &ServerSession) -> bool {
        self.upstreams.speak_h2()
            && self
                .route_asked_for(session.req_header())
                .is_some_and(|route| self.upstreams.get(route.upstream).speaks_h2())
    }

    /// Answers where the connection goes on, if it does.
    async fn serve_plain(&self, mut session: ServerSession, connection: &Arc<Connection>) -> Option<Stream> {
        let mut context = Context::new(self.flow.clone(), connection.clone());
        match self.plain(&mut session, &mut context).await {
            Then::Next => Some(session.finish().await.ok()??.into_parts().0),
            Then::Close => None,
            Then::Pass(opened) => {
                // Rarely taken, and large. The context stays: the gateway waits for it when it stops.
                Box::pin(opened.pass(session, context.slices().map(|slices| &**slices))).await;
                context.settle_truth();
                None
            }
        }
    }

    /// Serves a plain request, or one that opens a WebSocket.
    async fn plain(&self, session: &mut ServerSession, context: &mut Context) -> Then {
        self.begin(session, context);
        let error = match self.try_plain(session, context).await {
            Ok(opened) => {
                self.end(session, None, context);
                linger(session, context.refused).await;
                return opened.map_or(Then::Next, Then::Pass);
            }
            Err(error) => error,
        };
        let failed = Box::pin(self.fail(session, &error, true, context)).await;
        self.end(session, Some(&error), context);
        linger(session, context.refused).await;
        if failed.reusable { Then::Next } else { Then::Close }
    }

    async fn try_plain(
        &self,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> pingora::Result<Option<Opened>> {
        if self.decide(session, context).await? == Destination::Own {
            return Ok(None);
        }
        match self.route_of(context) {
            Some(route) => self.exchange(session, route, context).await,
            None => Err(Error::explain(ErrorType::InternalError, "forwarding needs a route")),
        }
    }
}

/// Reads once more. False when the client has closed.
async fn read_more(stream: &mut Stream, read: &mut BytesMut) -> bool {
    read.reserve(HEADER_BYTES);
    if matches!(stream.read_buf(read).await, Ok(0) | Err(_)) {
        return false;
    }
    // Empty lines before a request are ignored (RFC 9112, section 2.2).
    let blank = read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    read.advance(blank);
    true
}

/// Where the header ends, none if it cannot be one; none at all as long as that is not clear.
#[expect(clippy::option_option, reason = "whether it is known, and what is known")]
fn known_end(read: &[u8]) -> Option<Option<usize>> {
    let end = header_end(read);
    let known = end.is_some() || read.len() > MOST_HEADER_BYTES || is_hopeless(read);
    (known && !read.is_empty()).then_some(end)
}

/// Whether the first line shows that no header of HTTP/1 will come of it.
fn is_hopeless(read: &[u8]) -> bool {
    let graphic = read.first().is_none_or(u8::is_ascii_graphic);
    let line = read.iter().position(|byte| *byte == b'\n').map(|end| &read[..end]);
    !graphic || line.is_some_and(|line| !line.windows(8).any(|part| part == b" HTTP/1."))
}

/// Where the header ends. Lines may end in a bare LF (RFC 9112, section 2.2).
fn header_end(read: &[u8]) -> Option<usize> {
    static AFTER_CRLF: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\r\n"));
    static AFTER_LF: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\n"));
    let after_crlf = AFTER_CRLF.find(read).map(|at| at + 3);
    let after_lf = AFTER_LF.find(read).map(|at| at + 2);
    after_crlf.into_iter().chain(after_lf).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_at_its_first_empty_line() {
        for (read, end) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Some(27)),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nbody\r\n\r\n", Some(27)),
            ("GET / HTTP/1.1\nhost: a\n\nbody\r\n\r\n", Some(24)),
            ("GET / HTTP/1.1\r\nhost: a\n\r\n", Some(26)),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r", None),
            ("", None),
        ] {
            assert_eq!(header_end(read.as_bytes()), end, "{read:?}");
        }
    }
}
