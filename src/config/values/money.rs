//! Money: a decimal string in major units, such as `"29.00"`.

use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Money(pub Decimal);

/// What Stripe takes (`unit_amount_decimal`).
const MOST_DECIMALS: usize = 12;
/// Below a billion: far from where a product with a number of units could overflow.
const MOST_WHOLE_DIGITS: usize = 9;

impl Read for Money {
    fn schema() -> Json {
        pattern("amount of money", r"[0-9]{1,9}(\.[0-9]{1,12})?")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, r#"write a decimal number in quotes, such as "29.00" or "0.02""#, parse)
    }
}

fn parse(text: &str) -> Result<Money, String> {
    if text.starts_with('-') {
        return Err("an amount cannot be negative".into());
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match () {
        () if !digits(whole) || !digits(decimals) => Err("this is not an amount".into()),
        () if decimals.len() > MOST_DECIMALS => Err("an amount has at most 12 decimals".into()),
        () if whole.len() > MOST_WHOLE_DIGITS => Err("an amount is less than a billion".into()),
        () => text.parse().map(Money).map_err(|_| "this is not an amount".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, mantissa, scale) in
            [("29.00", 2900, 2), ("0.02", 2, 2), ("99", 99, 0), ("0.000000000001", 1, 12)]
        {
            assert_eq!(parse(text), Ok(Money(Decimal::new(mantissa, scale))), "{text}");
        }
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1_000", "$1", "0.0000000000001", "1000000000"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
