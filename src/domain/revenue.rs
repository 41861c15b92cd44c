//! Revenue: recurring amounts, made comparable by month.

use rust_decimal::Decimal;

use super::money::Currency;

/// Days of an average month: those of four years, by 48.
fn days_per_month() -> Decimal {
    Decimal::new(304_375, 4)
}

/// What `minor` units of each interval are a month, in major units, unrounded. `None`: the interval is not one of
/// Stripe's, or the amount is beyond all bounds.
pub fn per_month(minor: i64, interval: &str, count: u32, currency: Currency) -> Option<Decimal> {
    let amount = Decimal::try_new(minor, currency.decimals()).ok()?;
    let count = Decimal::from(count.max(1));
    let months = match interval {
        "day" => count.checked_div(days_per_month())?,
        "week" => count.checked_mul(Decimal::from(7))?.checked_div(days_per_month())?,
        "month" => count,
        "year" => count.checked_mul(Decimal::from(12))?,
        _ => return None,
    };
    amount.checked_div(months)
}

/// The part that goes in a month, where `lost` of `of` went in so many seconds. `None`: there was nobody who could go.
pub fn monthly_churn(lost: u64, of: u64, seconds: i64) -> Option<Decimal> {
    let rate = Decimal::from(lost).checked_div(Decimal::from(of))?;
    let days = Decimal::from(seconds.max(1)).checked_div(Decimal::from(86_400))?;
    rate.checked_mul(days_per_month())?.checked_div(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_made_comparable_by_month() {
        let usd = Currency::parse("usd").expect("a currency");
        let shown = |minor, interval, count| {
            per_month(minor, interval, count, usd).map(|amount| usd.round(amount).to_string())
        };
        assert_eq!(shown(9_900, "month", 1).as_deref(), Some("99.00"));
        assert_eq!(shown(9_900, "month", 3).as_deref(), Some("33.00"));
        assert_eq!(shown(99_000, "year", 1).as_deref(), Some("82.50"));
        assert_eq!(shown(700, "week", 1).as_deref(), Some("30.44"), "a dollar a day");
        assert_eq!(shown(100, "day", 1).as_deref(), Some("30.44"));
        assert_eq!(shown(100, "fortnight", 1), None);
        let jpy = Currency::parse("jpy").expect("a currency");
        assert_eq!(per_month(1_200, "year", 1, jpy), Some(Decimal::from(100)));
    }

    #[test]
    fn churn_is_that_of_an_average_month() {
        let month = 304_375 * 86_400 / 10_000;
        let shown = |seconds| monthly_churn(1, 4, seconds).map(|churn| churn.normalize().to_string());
        assert_eq!(shown(month).as_deref(), Some("0.25"));
        assert_eq!(shown(2 * month).as_deref(), Some("0.125"));
        assert_eq!(monthly_churn(0, 0, month), None);
    }
}
