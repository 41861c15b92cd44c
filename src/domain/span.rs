//! Spans of time as operators write them: `30s`, `15m`, `24h`, `7d`.

/// Longer ones are mistakes.
const LONGEST_SECONDS: u64 = 10 * 366 * 86_400;

/// In seconds; none where it is not a span.
pub fn parse_span(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[split..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let count: u64 = text[..split].parse().ok()?;
    count.checked_mul(unit).filter(|seconds| *seconds <= LONGEST_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        let read = ["0s", "30s", "15m", "24h", "7d"].map(parse_span);
        assert_eq!(read, [0, 30, 900, 86_400, 604_800].map(Some));
        for wrong in ["", "7", "h", "1w", "1.5h", "-1h", "1 h", "99999d", "99999999999999999999s", "1ĥ"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }
}
