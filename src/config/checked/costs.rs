//! `cost`: what is reserved for a request, and how the exchange tells what it was.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::Names;
use crate::config::containers::OneOrMany;
use crate::config::findings::{At, Findings, Place};
use crate::config::read::Given;
use crate::config::written::{self, MeterCost};
use crate::domain::measure::{Measure, Measured, Missing, Pointer};
use crate::domain::units::{Cost, MeterId};

/// What [`Measured::hold`] is where nothing is said.
const HOLD: u64 = 1;
/// No exchange is worth more.
const MOST: u64 = 1_000_000_000;

/// Fixed units and holds together, and the measures.
pub(super) fn by_meter(
    table: &[crate::config::containers::Named<MeterCost>],
    meters: &Names,
    found: &mut Findings,
) -> (Cost, Arc<[Measured]>) {
    let (mut reserved, mut measures) = (Vec::new(), Vec::new());
    for named in table {
        let Some(position) = meters.find(&named.name, &named.place, found) else { continue };
        let Ok(meter) = u16::try_from(position).map(MeterId) else { continue };
        match &named.value {
            MeterCost::Fixed(units) => reserved.push((meter, *units)),
            MeterCost::Measured(written) => {
                let Some(measured) = measured(meter, written, found) else { continue };
                reserved.push((meter, measured.hold));
                measures.push(measured);
            }
        }
    }
    (Cost::new(reserved), measures.into())
}

/// Whether a cost can be more than nothing.
pub(super) fn can_be_charged(cost: &written::Cost) -> bool {
    let costs = |cost: &MeterCost| !matches!(cost, MeterCost::Fixed(0));
    match cost {
        written::Cost::Units(units) => *units > 0,
        written::Cost::ByMeter(table) => table.0.iter().any(|named| costs(&named.value)),
    }
}

/// Whether the exchange itself tells some of it.
pub(super) fn is_measured(cost: &written::Cost) -> bool {
    let written::Cost::ByMeter(table) = cost else { return false };
    table.0.iter().any(|named| matches!(named.value, MeterCost::Measured(_)))
}

fn measured(meter: MeterId, written: &written::Measure, found: &mut Findings) -> Option<Measured> {
    let by = the_one_measure(written, found)?;
    let most = written.most.get().map_or(MOST, |most| most.0);
    let hold = written.hold.at().map_or(HOLD.min(most), |hold| hold.value.0);
    if let Some(At { place, .. }) = written.hold.at().filter(|hold| hold.value.0 > most) {
        found.error(
            place,
            format!("more than an exchange can cost, which is {most}"),
            "write a smaller hold",
        );
    }
    if let (false, Some(missing)) = (by.is_told(), written.missing.at()) {
        let help = "leave it out";
        found.error(&missing.place, "this measure needs nothing that an answer could leave out", help);
    }
    let times = written.times.get().and_then(|times| NonZeroU64::new(times.0)).unwrap_or(NonZeroU64::MIN);
    let missing = written.missing.get().copied().unwrap_or(Missing::Hold);
    Some(Measured { meter, by, hold, times, most, missing })
}

fn the_one_measure(written: &written::Measure, found: &mut Findings) -> Option<Measure> {
    let size = NonZeroU64::new;
    let mut given: Vec<(Place, Option<Measure>)> = Vec::new();
    let mut wrong = false;
    wrong |= look(&written.request_bytes, &mut given, |bytes| size(bytes.0).map(Measure::RequestBytes));
    wrong |= look(&written.response_bytes, &mut given, |bytes| size(bytes.0).map(Measure::ResponseBytes));
    wrong |= look(&written.bytes, &mut given, |bytes| size(bytes.0).map(Measure::Bytes));
    wrong |= look(&written.header, &mut given, |header| Some(Measure::Header(header.0.clone())));
    wrong |= look(&written.json, &mut given, |places| {
        Some(Measure::Json(places.0.iter().map(|place| place.value.clone()).collect()))
    });
    wrong |= look(&written.duration, &mut given, |span| {
        size(u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)).map(Measure::Duration)
    });
    wrong |= look(&written.messages, &mut given, |count| size(count.0).map(Measure::Messages));
    refuse_doubles(&written.json, found);
    if let Some((second, _)) = given.get(1) {
        found.error(second, "a meter is measured in one way", "keep one, or use another meter for the other");
        return None;
    }
    if given.is_empty() && !wrong {
        let help = "add one of request_bytes, response_bytes, bytes, header, json, duration and messages";
        found.error(&written.place, "it is not said what is measured", help);
    }
    given.pop()?.1
}

/// A place that is named twice would be billed twice.
fn refuse_doubles(json: &Given<OneOrMany<Pointer>>, found: &mut Findings) {
    let places = json.get().map_or(&[][..], |places| &places.0);
    for (at, place) in places.iter().enumerate() {
        if places[..at].iter().any(|before| before.value == place.value) {
            found.error(&place.place, "this place is counted already", "leave it out");
        }
    }
}

/// Notes a measure that is given; answers whether it is wrong, which has then been reported.
fn look<T>(
    key: &Given<T>,
    given: &mut Vec<(Place, Option<Measure>)>,
    measure: impl FnOnce(&T) -> Option<Measure>,
) -> bool {
    if let Some(at) = key.at() {
        given.push((at.place.clone(), measure(&at.value)));
    }
    matches!(key, Given::Wrong)
}
