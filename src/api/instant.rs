//! Instants and spans as our endpoints take them.

use crate::domain::period::parse_instant;
use crate::problem::{Code, Problem};

use super::Failed;

/// Seconds since the epoch of `2026-11-20T13:00:00Z`, or of the beginning of `2026-11-20` in UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    parse_instant(text).map(|micros| micros.div_euclid(1_000_000))
}

/// From an instant, and not to another, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from: i64,
    pub to: i64,
}

impl Span {
    /// What is left out is as `usual` has it.
    pub fn parse(from: Option<&str>, to: Option<&str>, usual: Self) -> Result<Self, Failed> {
        let read = |name: &str, text: Option<&str>, usual: i64| {
            let Some(text) = text else { return Ok(usual) };
            parse(text)
                .ok_or_else(|| wrong(format!("{name} is an instant: 2026-11-20T13:00:00Z or 2026-11-20")))
        };
        let span = Self { from: read("from", from, usual.from)?, to: read("to", to, usual.to)? };
        if span.from < span.to { Ok(span) } else { Err(wrong("from must be before to".to_owned())) }
    }
}

fn wrong(detail: String) -> Failed {
    Failed(Problem::new(Code::BadRequest, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_days_are_read_in_utc() {
        assert_eq!(parse("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(parse("1970-01-02T01:00:00+01:00"), Some(86_400));
        assert_eq!(parse("1970-01-02"), Some(86_400));
        for wrong in ["", "yesterday", "1970-13-01", "1970-01-02T00:00:00"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_begins_before_it_ends() {
        let usual = Span { from: 0, to: 100 };
        assert_eq!(Span::parse(None, None, usual).expect("usual"), usual);
        let day = Span::parse(Some("1970-01-01"), Some("1970-01-02"), usual).expect("a day");
        assert_eq!(day, Span { from: 0, to: 86_400 });
        assert!(Span::parse(Some("1970-01-02"), None, usual).is_err());
        assert!(Span::parse(Some("soon"), None, usual).is_err());
    }
}
