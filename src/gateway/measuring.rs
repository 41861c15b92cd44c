//! What the gateway sees of an exchange that tells its own cost, while it passes.

use std::time::Duration;

use crate::domain::measure::Seen;
use crate::domain::route::Route;

/// One exchange, being measured.
#[derive(Debug)]
pub(super) struct Measuring {
    seen: Seen,
}

impl Measuring {
    /// None where the price is known before.
    pub fn begin(route: &Route) -> Option<Box<Self>> {
        (!route.measures.is_empty()).then(|| Box::new(Self { seen: Seen::default() }))
    }

    /// A piece of the request's body, on its way to the upstream.
    pub fn sent(&mut self, piece: &[u8]) {
        self.seen.request_bytes += piece.len() as u64;
    }

    /// A piece of the response's body, on its way to the client.
    pub fn delivered(&mut self, piece: &[u8]) {
        self.seen.response_bytes += piece.len() as u64;
    }

    /// Another attempt: the request is sent again, and nothing was delivered.
    pub fn rewind(&mut self) {
        self.seen = Seen::default();
    }

    /// All that was seen; `took` is how long the exchange lasted.
    pub fn end(self, took: Duration) -> Seen {
        Seen { elapsed_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), ..self.seen }
    }
}
