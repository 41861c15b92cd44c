//! What is paid for a price, and how often: of ours and of Stripe's, to be compared.

use rust_decimal::Decimal;

use crate::domain::money::Currency;

/// Amounts are in minor units of the currency, exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub currency: Currency,
    pub every: Every,
    /// Paid for what a meter counts, afterwards; else for the period, in advance.
    pub metered: bool,
    /// Ascending; the last has no end.
    pub steps: Vec<Step>,
}

/// `month` and 1, `week` and 2, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Every {
    pub interval: String,
    pub count: i64,
}

/// The units from the step before up to, and with, `up_to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub up_to: Option<u64>,
    pub unit: Decimal,
    /// For entering the step.
    pub flat: Decimal,
}

impl Every {
    pub fn month() -> Self {
        Self { interval: "month".to_owned(), count: 1 }
    }

    pub fn year() -> Self {
        Self { interval: "year".to_owned(), count: 1 }
    }

    fn told(&self) -> String {
        match (self.count, &self.interval) {
            (1, interval) => format!("every {interval}"),
            (count, interval) => format!("every {count} {interval}s"),
        }
    }
}

impl Terms {
    /// So much for each period.
    pub fn flat(currency: Currency, every: Every, minor: Decimal) -> Self {
        Self { currency, every, metered: false, steps: vec![Step::last(minor)] }
    }

    /// So much for each unit of a month beyond the included ones.
    pub fn overage(currency: Currency, included: u64, minor: Decimal) -> Self {
        let free = (included > 0).then_some(Step {
            up_to: Some(included),
            unit: Decimal::ZERO,
            flat: Decimal::ZERO,
        });
        let steps = free.into_iter().chain([Step::last(minor)]).collect();
        Self { currency, every: Every::month(), metered: true, steps }
    }

    /// In words, such as `nothing for the first 10000 units, then 0.02 usd a unit, every month`.
    pub fn told(&self) -> String {
        format!("{}, {}", self.amounts(), self.every.told())
    }

    fn amounts(&self) -> String {
        let per = if self.metered { " a unit" } else { "" };
        let mut parts = Vec::new();
        let mut below = 0;
        for step in &self.steps {
            let mut amount = self.amount(step.unit);
            if step.unit.is_zero() && step.up_to.is_some() {
                "nothing".clone_into(&mut amount);
            } else {
                amount.push_str(per);
            }
            if !step.flat.is_zero() {
                amount = format!("{amount} and {} at once", self.amount(step.flat));
            }
            parts.push(match step.up_to {
                Some(last) if below == 0 => format!("{amount} for the first {last} units"),
                Some(last) => format!("{amount} up to unit {last}"),
                None => amount,
            });
            below = step.up_to.unwrap_or(below);
        }
        parts.join(", then ")
    }

    /// Minor units in major ones, with all their digits.
    fn amount(&self, minor: Decimal) -> String {
        let decimals = self.currency.decimals();
        let mut major = (minor * Decimal::new(1, decimals)).normalize();
        if major.scale() < decimals {
            major.rescale(decimals);
        }
        format!("{major} {}", self.currency.code())
    }

    /// In which way `found` is not what is wanted; empty where it is.
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        match (self.metered, found.metered) {
            (true, false) => differences.push("it is not metered".to_owned()),
            (false, true) => differences.push("it is metered".to_owned()),
            _ => {}
        }
        if self.every != found.every {
            let (wanted, found) = (self.every.told(), found.every.told());
            differences.push(format!("it is paid {found}, not {wanted}"));
        }
        if (self.currency, &self.steps) != (found.currency, &found.steps) {
            differences.push(format!("it costs {}, not {}", found.amounts(), self.amounts()));
        }
        differences
    }
}

impl Step {
    /// One without an end.
    pub fn last(unit: Decimal) -> Self {
        Self { up_to: None, unit, flat: Decimal::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("a currency")
    }

    fn overage(code: &str, included: u64, major: &str) -> Terms {
        let amount = major.parse().expect("an amount");
        Terms::overage(currency(code), included, currency(code).in_minor(amount))
    }

    #[test]
    fn terms_are_told_in_major_units_with_all_their_digits() {
        let flat = |code, minor| Terms::flat(currency(code), Every::month(), Decimal::from(minor)).told();
        assert_eq!(flat("usd", 9_900), "99.00 usd, every month");
        assert_eq!(flat("jpy", 9_900), "9900 jpy, every month");
        assert_eq!(flat("kwd", 9_900), "9.900 kwd, every month");
        assert_eq!(
            overage("usd", 10_000, "0.0007").told(),
            "nothing for the first 10000 units, then 0.0007 usd a unit, every month"
        );
        assert_eq!(overage("usd", 0, "2").told(), "2.00 usd a unit, every month");
    }

    #[test]
    fn every_difference_is_named_and_equal_amounts_are_equal_however_they_are_written() {
        let wanted = overage("usd", 100, "0.02");
        assert_eq!(wanted.differences(&overage("usd", 100, "0.0200")), Vec::<String>::new());
        let dearer = wanted.differences(&overage("usd", 50, "0.03"));
        assert_eq!(
            dearer,
            [
                "it costs nothing for the first 50 units, then 0.03 usd a unit, not nothing for the first 100 units, \
                 then 0.02 usd a unit"
            ]
        );
        let every = Every { interval: "week".to_owned(), count: 2 };
        let flat = Terms::flat(currency("eur"), every, Decimal::TWO);
        assert_eq!(
            wanted.differences(&flat),
            [
                "it is not metered",
                "it is paid every 2 weeks, not every month",
                "it costs 0.02 eur, not nothing for the first 100 units, then 0.02 usd a unit"
            ]
        );
        assert_eq!(flat.differences(&wanted).first().map(String::as_str), Some("it is metered"));
        let yen = overage("jpy", 100, "2");
        assert!(
            !wanted.differences(&yen).is_empty(),
            "the same number of another currency is another amount"
        );
    }
}
