//! Numbers and names as people read them.

use serde_json::Value;

/// `1,234,567`.
pub fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", grouped(&digits))
}

fn grouped(digits: &str) -> String {
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// `1.2M`, for scales.
pub fn brief(value: i64) -> String {
    let sign = if value < 0 { "−" } else { "" };
    let size = value.unsigned_abs();
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((unit, letter)) = units.into_iter().find(|(unit, _)| size >= *unit) else {
        return number(value);
    };
    let tenths = size / (unit / 10);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let whole = grouped(&whole.to_string());
    if tenth == 0 { format!("{sign}{whole}{letter}") } else { format!("{sign}{whole}.{tenth}{letter}") }
}

/// A decimal amount as the API gives it, with its currency: `1,234.50 USD`.
pub fn money(amount: &str, currency: &str) -> String {
    let (sign, size) = amount.strip_prefix('-').map_or(("", amount), |size| ("−", size));
    let (whole, fraction) = size.split_once('.').map_or((size, None), |(whole, part)| (whole, Some(part)));
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    format!("{sign}{}{fraction} {}", grouped(whole), currency.to_uppercase())
}

/// Of an instant such as `2026-11-20T13:00:00Z`: `2026-11-20 13:00:00`. Pages say once that times are UTC.
pub fn instant(rfc3339: &str) -> String {
    rfc3339.replacen('T', " ", 1).trim_end_matches('Z').to_owned()
}

/// A word of the API as people read it: `past_due` is "past due".
pub fn words(word: &str) -> String {
    word.replace('_', " ")
}

/// A value as it stands: a text without quotes, a number with its groups, nothing as a dash.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(plain) => plain.as_i64().map_or_else(|| plain.to_string(), number),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_groups_and_scales_in_brief() {
        let all = [0, 999, 1_000, -1_234_567, i64::MIN].map(number);
        assert_eq!(all, ["0", "999", "1,000", "−1,234,567", "−9,223,372,036,854,775,808"]);
        let all = [7, 1_000, 1_250, -12_300_000, i64::MAX].map(brief);
        assert_eq!(all, ["7", "1k", "1.2k", "−12.3M", "9,223,372T"]);
    }

    #[test]
    fn money_keeps_every_digit() {
        assert_eq!(money("1234.50", "usd"), "1,234.50 USD");
        assert_eq!(money("-0.005", "eur"), "−0.005 EUR");
        assert_eq!(money("1500", "jpy"), "1,500 JPY");
    }
}
