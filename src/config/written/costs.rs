//! `cost`: units of a request, fixed or told by the exchange itself.

use serde_json::{Value as Json, json};

use crate::config::containers::{ByName, OneOrMany};
use crate::config::findings::Place;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::{Node, Value};
use crate::config::values::choose;
use crate::config::values::header::Header;
use crate::config::values::number::Number;
use crate::config::values::one_of;
use crate::config::values::size::Size;
use crate::config::values::span::Span;
use crate::domain::measure::{Missing, Pointer};

#[derive(Clone, Debug)]
pub(crate) enum Cost {
    /// Of the only meter.
    Units(u64),
    ByMeter(ByName<MeterCost>),
}

/// Units of one request: few enough that no sum of them overflows.
type Units = Number<0, 1_000_000_000>;

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few per file")]
pub(crate) enum MeterCost {
    Fixed(u64),
    Measured(Measure),
}

/// One of several ways to measure, and what holds for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub place: Place,
    pub request_bytes: Given<Size>,
    pub response_bytes: Given<Size>,
    pub bytes: Given<Size>,
    pub header: Given<Header>,
    pub json: Given<OneOrMany<Pointer>>,
    pub duration: Given<Span<1>>,
    pub messages: Given<Number<1, 1_000_000_000>>,
    pub hold: Given<Units>,
    pub times: Given<Number<1, 1_000_000_000>>,
    pub most: Given<Number<1, 1_000_000_000>>,
    pub missing: Given<Missing>,
}

impl Read for Cost {
    fn schema() -> Json {
        json!({ "anyOf": [Units::schema(), ByName::<MeterCost>::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Integer(_) => Units::read(node, reader).map(|units| Self::Units(units.0)),
            Value::Table(_) => ByName::read(node, reader).map(Self::ByMeter),
            _ => reader.unexpected(
                node,
                "units, or a table of meters and units",
                "write a whole number such as 1, or a table such as { api_calls = 1 }",
            ),
        }
    }
}

impl Read for MeterCost {
    fn schema() -> Json {
        json!({ "anyOf": [Units::schema(), Measure::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Table(_) => Measure::read(node, reader).map(Self::Measured),
            _ => Units::read(node, reader).map(|units| Self::Fixed(units.0)),
        }
    }
}

impl Section for Measure {
    const ABOUT: &'static str = "Units that the exchange itself tells: one way to measure them.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            request_bytes: keys
                .optional("request_bytes", "A unit for each started so much of the request's body."),
            response_bytes: keys.optional("response_bytes", "The same of the response's body."),
            bytes: keys.optional("bytes", "Of both, and of what passes through a WebSocket."),
            header: keys.optional("header", "The number in this header of the response."),
            json: keys.optional(
                "json",
                "The number at this JSON Pointer in the response, or their sum; of a stream the last ones.",
            ),
            duration: keys.optional("duration", "A unit for each started so much time."),
            messages: keys.optional("messages", "A unit for each started so many messages of a WebSocket."),
            hold: keys.optional("hold", "Units reserved until it is known; left out: 1."),
            times: keys.optional("times", "What it is multiplied by; left out: 1."),
            most: keys.optional("most", "The most units of one exchange; left out: a milliard."),
            missing: keys.optional(
                "missing",
                "What an answer costs that does not tell it: \"hold\" or \"zero\"; left out: \"hold\".",
            ),
        }
    }
}

impl Read for Missing {
    fn schema() -> Json {
        one_of(&["hold", "zero"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("hold", Self::Hold), ("zero", Self::Zero)])
    }
}
