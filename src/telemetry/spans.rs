//! Spans for a collector, sent over OTLP/HTTP by a task of their own.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use crate::metrics::METRICS;

use super::otlp;

/// As many requests' spans wait at most.
const MOST_WAITING: usize = 2048;
/// More may come before what is there is sent.
const LINGER: Duration = Duration::from_secs(1);
/// A collector that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One span.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: [u8; 16],
    pub id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub name: String,
    pub kind: Kind,
    /// Nanoseconds since the epoch.
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<(&'static str, Value)>,
    pub failed: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Internal,
    Server,
    Client,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(i64),
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SpansError {
    #[error("the header {0} has a value that no header can have")]
    Header(String),
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// Takes spans. Clones send to the same collector.
#[derive(Clone, Debug)]
pub struct Spans(Sender<Message>);

#[derive(Debug)]
enum Message {
    /// Of one request.
    Spans(Vec<Span>),
    /// Everything before it is to be sent.
    End(oneshot::Sender<()>),
}

impl Spans {
    /// Begins to send to a collector, with these headers, which are secret.
    pub fn start<'a>(
        endpoint: &str,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        runtime: &Handle,
    ) -> Result<Self, SpansError> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let refused = || SpansError::Header(name.to_owned());
            let mut value = HeaderValue::from_str(value).map_err(|_| refused())?;
            value.set_sensitive(true);
            all.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?, value);
        }
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(all)
            .build()?;
        let (sender, receiver) = channel(MOST_WAITING);
        let exporter = Exporter { client, url: format!("{endpoint}/v1/traces"), failing: false };
        runtime.spawn(exporter.run(receiver));
        Ok(Self(sender))
    }

    /// Takes a request's spans; drops them rather than wait.
    pub fn send(&self, spans: Vec<Span>) {
        let number = spans.len() as u64;
        if self.0.try_send(Message::Spans(spans)).is_err() {
            METRICS.spans_dropped.inc_by(number);
        }
    }

    /// Sends what waits, for at most as long.
    pub async fn end(&self, within: Duration) {
        let (done, ended) = oneshot::channel();
        if self.0.try_send(Message::End(done)).is_ok() {
            // What cannot be sent in time is given up.
            let _ = tokio::time::timeout(within, ended).await;
        }
    }
}

struct Exporter {
    client: reqwest::Client,
    url: String,
    failing: bool,
}

impl Exporter {
    async fn run(mut self, mut receiver: Receiver<Message>) {
        while let Some(first) = receiver.recv().await {
            let mut batch = Vec::new();
            let done = gather(first, &mut receiver, &mut batch).await;
            if !batch.is_empty() {
                self.export(batch).await;
            }
            if let Some(done) = done {
                // Nobody may wait any more.
                let _ = done.send(());
            }
        }
    }

    async fn export(&mut self, batch: Vec<Span>) {
        let number = batch.len() as u64;
        let sent = self.client.post(&self.url).body(otlp::encode(batch)).send().await;
        let taken = sent.and_then(reqwest::Response::error_for_status);
        if let Err(error) = &taken {
            METRICS.spans_dropped.inc_by(number);
            if !self.failing {
                let error = error.to_string();
                tracing::warn!(error, "the collector takes no spans; they are dropped until it does");
            }
        }
        self.failing = taken.is_err();
    }
}

/// Waits for what comes soon, unless nobody will bring more.
async fn gather(
    first: Message,
    receiver: &mut Receiver<Message>,
    batch: &mut Vec<Span>,
) -> Option<oneshot::Sender<()>> {
    let linger = tokio::time::sleep(LINGER);
    tokio::pin!(linger);
    let mut next = Some(first);
    for _ in 0..MOST_WAITING {
        match next? {
            Message::End(done) => return Some(done),
            Message::Spans(spans) => batch.extend(spans),
        }
        next = tokio::select! {
            next = receiver.recv() => next,
            () = &mut linger => return None,
        };
    }
    // At its most: what was taken last must not be lost.
    match next? {
        Message::End(done) => Some(done),
        Message::Spans(spans) => {
            batch.extend(spans);
            None
        }
    }
}
