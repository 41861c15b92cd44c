//! A client of HTTP/2 on one connection, which notes what every answer says it cost.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::books::Seen;
use super::{Customer, Reply, in_time};

/// One connection, and what drives it.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    seen: Arc<Seen>,
}

impl Http2 {
    pub(super) async fn over<S>(stream: S, seen: Arc<Seen>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut options = h2::client::Builder::new();
        // What a test does not read of one answer keeps no other from coming.
        options.initial_connection_window_size(16 << 20);
        let (requests, connection) = options.handshake(stream).await.expect("a server of HTTP/2");
        let connection = tokio::spawn(connection);
        Self { requests, connection, seen }
    }

    /// Sends a request's header; with a body that is still to come, or none.
    pub async fn begin(
        &self,
        customer: Option<&Customer>,
        method: Method,
        path: &str,
        with_body: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let request = Request::builder().method(method).uri(format!("https://api.test{path}"));
        let request = customer.into_iter().fold(request, |request, customer| {
            request.header("authorization", format!("Bearer {}", customer.token))
        });
        let request = request.body(()).expect("a request");
        let mut requests = in_time(self.requests.clone().ready()).await?;
        requests.send_request(request, !with_body)
    }

    /// Reads a whole answer.
    pub async fn read(
        &self,
        customer: Option<&Customer>,
        answer: ResponseFuture,
    ) -> Result<Reply, h2::Error> {
        let (head, mut body) = in_time(answer).await?.into_parts();
        let cost = head.headers.get("x-usage-cost").map(|cost| cost.to_str().expect("text").to_owned());
        if let (Some(customer), Some(cost)) = (customer, &cost) {
            self.seen.charged(&customer.name, cost);
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = in_time(body.data()).await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    if let (Some(customer), Some(cost)) = (customer, &cost) {
                        self.seen.broke_off(&customer.name, cost);
                    }
                    return Err(error);
                }
            };
            body.flow_control().release_capacity(piece.len()).expect("it was taken");
            whole.extend_from_slice(&piece);
        }
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: whole.freeze() })
    }

    /// GETs a path; there must be an answer.
    pub async fn get(&self, customer: &Customer, path: &str) -> Reply {
        self.ask(customer, Method::GET, path, None).await
    }

    /// Asks with a body or without; there must be an answer.
    pub async fn ask(&self, customer: &Customer, method: Method, path: &str, body: Option<Bytes>) -> Reply {
        let begun = self.begin(Some(customer), method, path, body.is_some()).await;
        let (answer, mut send) = begun.expect("a connection that goes on");
        if let Some(body) = body {
            send.send_data(body, true).expect("a stream that goes on");
        }
        self.read(Some(customer), answer).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn is_over(&self) -> bool {
        self.connection.is_finished()
    }

    /// Waits for the connection's end; answers why the gateway ended it.
    pub async fn ended(self) -> Option<Reason> {
        // A connection without requests is ended by its client.
        let Self { requests, connection, .. } = self;
        let ended = in_time(connection).await.expect("no panic");
        drop(requests);
        match ended {
            Ok(()) => Some(Reason::NO_ERROR),
            Err(error) => error.reason(),
        }
    }
}
