//! Money: exact decimals in major units, and the rule by which they become minor ones.
//!
//! Amounts stay exact until they are shown or compared with an invoice. Then they are rounded once, per line, to
//! the currency's minor unit, half away from zero, as Stripe rounds the amount of an invoice line
//! (<https://docs.stripe.com/products-prices/pricing-models#decimal-amounts>).

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

/// An ISO 4217 currency as Stripe spells it, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency {
    code: [u8; 3],
    decimals: u8,
}

/// Stripe's currencies without a minor unit (<https://docs.stripe.com/currencies#zero-decimal>). Its list has the
/// Ugandan shilling too, but that is sent with two decimals all the same: see [`Currency::smallest_charge`].
const ZERO_DECIMAL: &[&str] = &[
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
];
/// Stripe's currencies with a thousandth as minor unit (<https://docs.stripe.com/currencies#three-decimal>).
const THREE_DECIMAL: &[&str] = &["bhd", "jod", "kwd", "omr", "tnd"];

impl Currency {
    /// Three ASCII letters in any case; `None` otherwise.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        let decimals = match &*code.to_ascii_lowercase() {
            code if ZERO_DECIMAL.contains(&code) => 0,
            code if THREE_DECIMAL.contains(&code) => 3,
            _ => 2,
        };
        let is_code = bytes.iter().all(u8::is_ascii_alphabetic);
        is_code.then(|| Self { code: bytes.map(|b| b.to_ascii_lowercase()), decimals })
    }

    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).expect("three ASCII letters")
    }

    /// Digits after the point of an amount in major units.
    pub fn decimals(self) -> u32 {
        u32::from(self.decimals)
    }

    /// The amount as it would stand on an invoice: rounded half away from zero, with all its digits.
    pub fn round(self, amount: Decimal) -> Decimal {
        let decimals = self.decimals();
        let mut rounded = amount.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
        rounded.rescale(decimals);
        rounded
    }

    /// From minor to major units, with all its digits.
    pub fn major(self, minor: i64) -> Decimal {
        Decimal::new(minor, self.decimals())
    }

    /// From major to minor units, fractions of one included.
    pub fn in_minor(self, amount: Decimal) -> Decimal {
        (amount * Decimal::from(10_u32.pow(self.decimals()))).normalize()
    }

    /// Of minor units that can be charged: Stripe wants the last digit of three-decimal amounts to be 0, and no
    /// fractions of a króna or a Ugandan shilling, which have two decimals for it, always 00
    /// (<https://docs.stripe.com/currencies#special-cases>).
    pub fn smallest_charge(self) -> i64 {
        match (self.code(), self.decimals) {
            ("isk" | "ugx", _) => 100,
            (_, 3) => 10,
            _ => 1,
        }
    }

    /// From major to minor units; `None` for a fraction of one.
    pub fn minor(self, amount: Decimal) -> Option<i64> {
        let minor = amount.checked_mul(Decimal::from(10_u32.pow(self.decimals())))?;
        minor.is_integer().then(|| minor.to_i64()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        Currency::parse("USD").expect("a currency")
    }

    #[test]
    fn amounts_are_shown_with_all_their_minor_digits() {
        assert_eq!(usd().round(Decimal::new(15, 2)).to_string(), "0.15");
        assert_eq!(usd().round(Decimal::new(3, 0)).to_string(), "3.00");
        let jpy = Currency::parse("jpy").expect("a currency");
        assert_eq!(jpy.round(Decimal::new(155, 1)).to_string(), "16");
    }

    #[test]
    fn half_a_cent_rounds_away_from_zero() {
        assert_eq!(usd().round(Decimal::new(5, 3)).to_string(), "0.01");
        assert_eq!(usd().round(Decimal::new(25, 3)).to_string(), "0.03");
        assert_eq!(usd().round(Decimal::new(-5, 3)).to_string(), "-0.01");
    }

    #[test]
    fn minor_units_are_exact_or_none() {
        assert_eq!(usd().minor(Decimal::new(1_000, 2)), Some(1_000));
        assert_eq!(usd().minor(Decimal::new(5, 3)), None);
        assert_eq!(usd().major(-5).to_string(), "-0.05");
        let kwd = Currency::parse("kwd").expect("a currency");
        assert_eq!(
            (kwd.minor(Decimal::ONE), kwd.major(1_500).to_string()),
            (Some(1_000), "1.500".to_owned())
        );
    }

    #[test]
    fn minor_units_may_have_decimals_and_not_all_can_be_charged() {
        let of = |code: &str| Currency::parse(code).expect("a currency");
        let amount = Decimal::new(7, 4);
        let all = ["usd", "jpy", "kwd", "isk", "ugx"];
        let minor: Vec<_> = all.iter().map(|code| of(code).in_minor(amount).to_string()).collect();
        assert_eq!(minor, ["0.07", "0.0007", "0.7", "0.07", "0.07"]);
        let smallest: Vec<_> = all.iter().map(|code| of(code).smallest_charge()).collect();
        assert_eq!(smallest, [1, 1, 10, 100, 100]);
    }

    #[test]
    fn what_is_not_three_letters_is_no_currency() {
        for wrong in ["", "us", "usdd", "u$d", "üs"] {
            assert_eq!(Currency::parse(wrong), None, "{wrong}");
        }
    }
}
