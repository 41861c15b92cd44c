//! Measures: units that only the exchange itself tells.
//!
//! Before an exchange nobody knows what it will have cost, so a *hold* is reserved; when it has ended the *truth*
//! settles it. A measure says how the truth is found in what the gateway has [`Seen`], and in what the answer's body is
//! [`Telling`].

mod json;
mod places;
mod pointer;
mod sse;
mod telling;
mod websocket;

use std::num::NonZeroU64;
use std::sync::Arc;

use super::units::MeterId;

pub use pointer::{Pointer, PointerError};
pub use telling::Telling;
pub use websocket::{BrokenFrame, Frames};

/// The largest number that a JSON value or a header can tell: beyond it JSON's readers do not agree (RFC 8259,
/// section 6).
pub const LARGEST_TOLD: u64 = 1 << 53;

/// Units of one meter on one route, measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    pub meter: MeterId,
    pub by: Measure,
    /// Units that are reserved until the truth is known; what is billed where it never is.
    pub hold: u64,
    /// Units of the meter for each unit of the measure.
    pub times: NonZeroU64,
    /// Units that one exchange can cost: a larger truth is cut down to it.
    pub most: u64,
    pub missing: Missing,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// One unit for each started so many bytes of the request's body.
    RequestBytes(NonZeroU64),
    /// The same of the response's body, as far as it was delivered.
    ResponseBytes(NonZeroU64),
    /// Of both together, and of what passes after an upgrade.
    Bytes(NonZeroU64),
    /// The number in a header of the response; the name in lower case.
    Header(Arc<str>),
    /// The sum of the numbers in these places of the response's JSON; of a stream the last ones seen.
    Json(Arc<[Pointer]>),
    /// One unit for each started so many milliseconds.
    Duration(NonZeroU64),
    /// One unit for each started so many messages of a WebSocket, in both directions.
    Messages(NonZeroU64),
}

/// What an exchange costs whose answer does not tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Hold,
    Zero,
}

/// What the gateway has seen of an exchange so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Of bodies, as they passed; after an upgrade all bytes.
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub messages: u64,
    pub elapsed_ms: u64,
}

/// What an exchange cost, in units of the meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Known(u64),
    /// It was more than [`Measured::most`], which stands in its place.
    Cut(u64),
    /// The answer did not tell it: [`Missing`] decided.
    Untold(u64),
}

impl Truth {
    pub fn units(self) -> u64 {
        match self {
            Self::Known(units) | Self::Cut(units) | Self::Untold(units) => units,
        }
    }
}

impl Measure {
    /// As configurations and price lists name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RequestBytes(_) => "request_bytes",
            Self::ResponseBytes(_) => "response_bytes",
            Self::Bytes(_) => "bytes",
            Self::Header(_) => "header",
            Self::Json(_) => "json",
            Self::Duration(_) => "duration",
            Self::Messages(_) => "messages",
        }
    }

    /// Whether the answer itself must tell it.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Json(_))
    }
}

impl Measured {
    /// `told` is what the answer said, where the measure [is told](Measure::is_told).
    pub fn truth(&self, seen: &Seen, told: Option<u64>) -> Truth {
        let measured = match &self.by {
            Measure::RequestBytes(size) => Some(seen.request_bytes.div_ceil(size.get())),
            Measure::ResponseBytes(size) => Some(seen.response_bytes.div_ceil(size.get())),
            Measure::Bytes(size) => {
                Some(seen.request_bytes.saturating_add(seen.response_bytes).div_ceil(size.get()))
            }
            Measure::Duration(span) => Some(seen.elapsed_ms.div_ceil(span.get())),
            Measure::Messages(count) => Some(seen.messages.div_ceil(count.get())),
            Measure::Header(_) | Measure::Json(_) => told.filter(|told| *told <= LARGEST_TOLD),
        };
        match measured.map(|units| units.saturating_mul(self.times.get())) {
            Some(units) if units > self.most => Truth::Cut(self.most),
            Some(units) => Truth::Known(units),
            None => Truth::Untold(match self.missing {
                Missing::Hold => self.hold,
                Missing::Zero => 0,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).expect("not zero")
    }

    fn measured(by: Measure) -> Measured {
        Measured { meter: MeterId(0), by, hold: 7, times: one(1), most: 1_000, missing: Missing::Hold }
    }

    #[test]
    fn what_has_started_counts_whole() {
        let seen = Seen { request_bytes: 11, response_bytes: 20, messages: 3, elapsed_ms: 60_001 };
        for (by, units) in [
            (Measure::RequestBytes(one(10)), 2),
            (Measure::ResponseBytes(one(10)), 2),
            (Measure::Bytes(one(10)), 4),
            (Measure::Duration(one(60_000)), 2),
            (Measure::Messages(one(1)), 3),
        ] {
            let measured = measured(by);
            assert_eq!(measured.truth(&seen, None), Truth::Known(units), "{measured:?}");
            assert_eq!(measured.truth(&Seen::default(), None), Truth::Known(0), "{measured:?}");
        }
    }

    #[test]
    fn what_is_told_counts_and_what_is_not_told_is_decided() {
        let told = measured(Measure::Header("x-cost".into()));
        assert_eq!(told.truth(&Seen::default(), Some(0)), Truth::Known(0));
        assert_eq!(told.truth(&Seen::default(), Some(12)), Truth::Known(12));
        assert_eq!(told.truth(&Seen::default(), None), Truth::Untold(7));
        assert_eq!(told.truth(&Seen::default(), Some(LARGEST_TOLD + 1)), Truth::Untold(7));
        let free = Measured { missing: Missing::Zero, ..told };
        assert_eq!(free.truth(&Seen::default(), None), Truth::Untold(0));
    }

    #[test]
    fn no_exchange_costs_more_than_the_most() {
        let dear = Measured { times: one(100), ..measured(Measure::Header("x-cost".into())) };
        assert_eq!(dear.truth(&Seen::default(), Some(10)), Truth::Known(1_000));
        assert_eq!(dear.truth(&Seen::default(), Some(11)), Truth::Cut(1_000));
        assert_eq!(dear.truth(&Seen::default(), Some(LARGEST_TOLD)), Truth::Cut(1_000));
    }
}
