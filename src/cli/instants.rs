//! Instants on the command line: RFC 3339, a day, or a span back from now.

use crate::clock;
use crate::domain::period;

use super::token::parse_span;

/// Microseconds since the epoch.
pub(super) fn parse_instant(text: &str) -> Result<i64, String> {
    if let Some(at) = period::parse_instant(text) {
        return Ok(at);
    }
    let span = parse_span(text).map_err(|_| {
        format!(
            "{text:?} is no instant; write 2026-11-20T13:00:00Z, 2026-11-20, or a span back from now: 24h, 7d"
        )
    })?;
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Ok(clock::now().micros().saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_days_and_spans_are_read() {
        assert_eq!(parse_instant("1970-01-02T00:00:01.5Z"), Ok(86_401_500_000));
        assert_eq!(parse_instant("1970-01-02T01:00:00+01:00"), Ok(86_400_000_000));
        assert_eq!(parse_instant("1970-01-02"), Ok(86_400_000_000));
        let day_ago = parse_instant("1d").expect("a span");
        let passed = clock::now().micros() - day_ago;
        assert!((86_400_000_000..86_500_000_000).contains(&passed), "{passed}");
        for wrong in ["", "yesterday", "1970-13-01", "7", "1970-01-02T00:00:00"] {
            assert!(parse_instant(wrong).is_err(), "{wrong}");
        }
    }
}
