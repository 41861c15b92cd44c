//! Times of the day, in UTC: `"03:00"`.

use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

/// Seconds since midnight, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Daytime(pub u32);

impl Read for Daytime {
    fn schema() -> Json {
        pattern("time of day", "([01][0-9]|2[0-3]):[0-5][0-9]")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write hours and minutes in UTC, such as "03:00""#;
        reader.parse(node, help, |text| parse(text).ok_or_else(|| "this is not a time of the day".into()))
    }
}

fn parse(text: &str) -> Option<Daytime> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str, most: u32| -> Option<u32> {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| plain && *number <= most)
    };
    Some(Daytime(two(hours, 23)? * 3_600 + two(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_two_digits_for_hours_and_two_for_minutes() {
        for (text, seconds) in [("00:00", Some(0)), ("03:30", Some(12_600)), ("23:59", Some(86_340))] {
            assert_eq!(parse(text).map(|time| time.0), seconds, "{text}");
        }
        for text in ["24:00", "3:00", "03:60", "03", "+3:00", "03:00:00", ""] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
