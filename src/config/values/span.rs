//! Durations: `"250ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"`.

use std::time::Duration;

use serde_json::Value as Json;

use super::{digits_and_rest, pattern};
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

/// A duration of at least so many milliseconds and at most ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<const MIN_MILLIS: u64>(pub Duration);

const LONGEST_MILLIS: u64 = 3_650 * 24 * 3_600_000;

impl<const MIN_MILLIS: u64> Read for Span<MIN_MILLIS> {
    fn schema() -> Json {
        pattern("duration", "[0-9]+(ms|s|m|h|d)")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write a number and a unit: "250ms", "30s", "5m", "24h" or "7d""#;
        reader.parse(node, help, |text| {
            let millis = millis(text).ok_or("this is not a duration")?;
            match millis {
                _ if millis < MIN_MILLIS => {
                    Err(format!("too short, it must be at least {}", shown(MIN_MILLIS)))
                }
                _ if millis > LONGEST_MILLIS => Err("too long, more than ten years".into()),
                _ => Ok(Self(Duration::from_millis(millis))),
            }
        })
    }
}

/// Units and their milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration as the configuration has it.
pub fn duration(text: &str) -> Option<Duration> {
    millis(text).map(Duration::from_millis)
}

fn millis(text: &str) -> Option<u64> {
    let (number, unit) = digits_and_rest(text)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(number.saturating_mul(*millis))
}

/// In the longest unit that leaves no rest.
fn shown(millis: u64) -> String {
    let fits = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    fits.map_or_else(String::new, |(name, unit)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("18446744073709551615d", Some(u64::MAX)),
            ("30", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
