//! Measures: units that only the exchange itself tells.
//!
//! Before an exchange nobody knows what it will have cost, so a *hold* is reserved; when it has ended the *truth*
//! settles it. A measure says how the truth is found in what the gateway has [`Seen`], and in what the answer's body is
//! [`Telling`].

mod json;
mod places;
mod pointer;
mod slice;
mod sse;
mod telling;
mod websocket;

use std::num::NonZeroU64;
use std::sync::Arc;

use smallvec::SmallVec;

use super::units::{Cost, MeterId};

pub use pointer::{Pointer, PointerError};
pub use slice::{Size, Slice, Units};
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

/// How much of an exchange has passed when the answer's header is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtHeader {
    /// The request's body has passed whole.
    pub request_ended: bool,
    pub answer: Answer,
}

/// What follows the answer's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    Body,
    /// Bytes of another protocol, both ways.
    Upgrade,
}

/// What one exchange cost, by meter; what was measured to be nothing is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrueCost(SmallVec<[(MeterId, u64); 2]>);

impl TrueCost {
    /// Fixed units of `reserved`, and what each measured meter turned out to cost.
    pub fn new(reserved: &Cost, measured: impl IntoIterator<Item = (MeterId, u64)>) -> Self {
        let mut units: SmallVec<[(MeterId, u64); 2]> = measured.into_iter().collect();
        let is_fixed = |(meter, _): &(MeterId, u64)| !units.iter().any(|(known, _)| known == meter);
        let fixed: SmallVec<[(MeterId, u64); 2]> = reserved.iter().filter(is_fixed).collect();
        units.extend(fixed);
        units.sort_unstable_by_key(|(meter, _)| *meter);
        Self(units)
    }

    /// Units of one meter.
    pub fn of(&self, meter: MeterId) -> u64 {
        self.iter().find(|(known, _)| *known == meter).map_or(0, |(_, units)| units)
    }

    /// Another part of the same exchange.
    pub fn add(&mut self, more: &Self) {
        let sum = |(meter, units): (MeterId, u64)| (meter, units.saturating_add(self.of(meter)));
        *self = Self::new(&Cost::new(self.iter()), more.iter().map(sum));
    }

    pub fn iter(&self) -> impl Iterator<Item = (MeterId, u64)> + '_ {
        self.0.iter().copied()
    }
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
    /// Whether nothing that is still to come can change what it tells.
    pub fn is_known(&self, at: AtHeader) -> bool {
        let nothing_sent = at.request_ended && at.answer != Answer::Upgrade;
        match self.by {
            Measure::Header(_) => true,
            Measure::RequestBytes(_) => nothing_sent,
            Measure::ResponseBytes(_) | Measure::Json(_) => at.answer == Answer::Nothing,
            Measure::Bytes(_) => nothing_sent && at.answer == Answer::Nothing,
            Measure::Messages(_) => at.answer != Answer::Upgrade,
            Measure::Duration(_) => false,
        }
    }

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
    fn what_can_still_change_is_not_known_at_the_header() {
        let at = |request_ended, answer| AtHeader { request_ended, answer };
        let nothing = at(true, Answer::Nothing);
        let body = at(true, Answer::Body);
        let sending = at(false, Answer::Nothing);
        let upgrade = at(true, Answer::Upgrade);
        for (by, known) in [
            (Measure::Header("x-cost".into()), [true, true, true, true]),
            (Measure::RequestBytes(one(1)), [true, true, false, false]),
            (Measure::ResponseBytes(one(1)), [true, false, true, false]),
            (Measure::Bytes(one(1)), [true, false, false, false]),
            (Measure::Json([].into()), [true, false, true, false]),
            (Measure::Messages(one(1)), [true, true, true, false]),
            (Measure::Duration(one(1)), [false, false, false, false]),
        ] {
            let measured = measured(by);
            let found = [nothing, body, sending, upgrade].map(|at| measured.is_known(at));
            assert_eq!(found, known, "{measured:?}");
        }
    }

    #[test]
    fn a_true_cost_has_the_fixed_units_and_every_measured_meter() {
        let reserved = Cost::new([(MeterId(0), 5), (MeterId(1), 2), (MeterId(3), 1)]);
        let truth = TrueCost::new(&reserved, [(MeterId(2), 7), (MeterId(0), 0)]);
        let units: Vec<_> = truth.iter().map(|(meter, units)| (meter.0, units)).collect();
        assert_eq!(units, [(0, 0), (1, 2), (2, 7), (3, 1)]);
        assert_eq!((truth.of(MeterId(2)), truth.of(MeterId(9))), (7, 0));
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
