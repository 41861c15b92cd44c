//! What a quantity costs.
//!
//! Graduated prices charge each tier's units at that tier's price and add the tiers up
//! (docs.stripe.com/subscriptions/pricing-models/tiered-pricing); each tier is a line of its own on the
//! invoice. "Rounding occurs on the line item level of your invoices ... 0.05 * 30 = 1.5, which is then
//! rounded up to 2 cents. If you have multiple line items, each will be rounded before summing up"
//! (docs.stripe.com/billing/subscriptions/decimal-amounts). So a line is computed exactly and rounded
//! once, halves away from zero.

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The last unit of this tier; `None`: no end.
    pub up_to: Option<u64>,
    /// Cents per unit.
    pub unit: Decimal,
    /// Cents for entering the tier.
    pub flat: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// Cents per unit.
    PerUnit(Decimal),
    /// Tiers in ascending order; the last has no end.
    Graduated(Vec<Tier>),
}

/// One line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub quantity: u64,
    pub unit: Decimal,
    /// Whole cents.
    pub amount: i64,
    /// Counted from one; `None` for a price without tiers.
    pub tier: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("amount beyond what can be represented")]
pub struct AmountTooLarge;

/// The lines of an invoice for a quantity. There is always at least one, even for nothing.
pub fn charges(scheme: &Scheme, quantity: u64) -> Result<Vec<Charge>, AmountTooLarge> {
    match scheme {
        Scheme::PerUnit(unit) => Ok(vec![charge(quantity, *unit, Decimal::ZERO, None)?]),
        Scheme::Graduated(tiers) => graduated(tiers, quantity),
    }
}

fn graduated(tiers: &[Tier], quantity: u64) -> Result<Vec<Charge>, AmountTooLarge> {
    let mut lines = Vec::new();
    let mut below = 0;
    for (index, tier) in tiers.iter().enumerate() {
        let reached = tier.up_to.map_or(quantity, |last| last.min(quantity));
        let units = reached.saturating_sub(below);
        if units == 0 && index > 0 {
            break;
        }
        let flat = if units == 0 { Decimal::ZERO } else { tier.flat };
        lines.push(charge(units, tier.unit, flat, Some(index + 1))?);
        below = reached;
    }
    Ok(lines)
}

fn charge(
    quantity: u64,
    unit: Decimal,
    flat: Decimal,
    tier: Option<usize>,
) -> Result<Charge, AmountTooLarge> {
    let exact = unit
        .checked_mul(Decimal::from(quantity))
        .and_then(|amount| amount.checked_add(flat))
        .ok_or(AmountTooLarge)?;
    let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    Ok(Charge { quantity, unit, amount: rounded.to_i64().ok_or(AmountTooLarge)?, tier })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().expect("well-formed")
    }

    fn tiers(rows: &[(Option<u64>, &str)]) -> Scheme {
        let tier = |(up_to, unit): &(Option<u64>, &str)| Tier {
            up_to: *up_to,
            unit: dec(unit),
            flat: Decimal::ZERO,
        };
        Scheme::Graduated(rows.iter().map(tier).collect())
    }

    fn total(scheme: &Scheme, quantity: u64) -> i64 {
        charges(scheme, quantity).expect("well-formed").iter().map(|line| line.amount).sum()
    }

    /// docs.stripe.com/subscriptions/pricing-models/tiered-pricing: 1-5 at 7 USD, 6-10 at 6.50, 11+ at 6.
    #[test]
    fn graduated_fonts_cost_what_stripes_example_says() {
        let fonts = tiers(&[(Some(5), "700"), (Some(10), "650"), (None, "600")]);
        for (quantity, cents) in [(1, 700), (5, 3500), (6, 4150), (20, 12750), (25, 15750)] {
            assert_eq!(total(&fonts, quantity), cents, "{quantity} fonts");
        }
    }

    /// docs.stripe.com/billing/subscriptions/usage-based-v1/use-cases/flat-fee-and-overages: 1,000
    /// included, then 0.04 USD each.
    #[test]
    fn only_units_beyond_the_included_ones_are_charged() {
        let tokens = tiers(&[(Some(1000), "0"), (None, "4")]);
        for (quantity, cents) in [(0, 0), (999, 0), (1000, 0), (1001, 4), (1500, 2000)] {
            assert_eq!(total(&tokens, quantity), cents, "{quantity} tokens");
        }
    }

    /// docs.stripe.com/billing/subscriptions/decimal-amounts: 0.05 * 30 = 1.5 cents, rounded up to 2.
    #[test]
    fn halves_of_a_cent_are_rounded_up_once_per_line() {
        assert_eq!(total(&Scheme::PerUnit(dec("0.05")), 30), 2);
        assert_eq!(total(&Scheme::PerUnit(dec("0.05")), 29), 1);
        let split = tiers(&[(Some(10), "0.05"), (None, "0.05")]);
        assert_eq!(total(&split, 20), 2, "each tier is a line and rounds by itself");
    }

    #[test]
    fn a_tiers_flat_amount_is_charged_once_it_is_entered() {
        let entry = Tier { up_to: None, unit: dec("3"), flat: dec("500") };
        let free = Tier { up_to: Some(10), unit: Decimal::ZERO, flat: Decimal::ZERO };
        let scheme = Scheme::Graduated(vec![free, entry]);
        assert_eq!(total(&scheme, 10), 0);
        assert_eq!(total(&scheme, 11), 503);
    }

    #[test]
    fn amounts_too_large_are_refused_and_do_not_wrap() {
        let scheme = Scheme::PerUnit(dec("99999999.999999999999"));
        assert_eq!(charges(&scheme, u64::MAX), Err(AmountTooLarge));
    }
}
