//! What a period will have used at its end, if it goes on as it has gone so far.
//!
//! Linear: the units so far, times the period's length over the time that has gone, rounded down to whole units. During
//! the first day that day counts as gone, so that a first minute is not taken for a month. What is to come is drawn as
//! requests draw: on the included units, then on credits, then as overage; where that is denied, or the spend cap has
//! no room for it, it does not come.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::period::Period;

const DAY_SECONDS: u64 = 86_400;

/// One meter's units of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoFar {
    /// All of them, whatever they were drawn on.
    pub current: u64,
    /// Included units that are left; `u64::MAX` without a bound.
    pub left: u64,
    pub overage: u64,
    /// What a unit of overage costs, in major units of the currency; none: there may be no more.
    pub price: Option<Decimal>,
}

/// The same at the period's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Projected {
    pub units: u64,
    pub overage: u64,
}

/// The period's end as seen from `now`, for each meter in turn: credits are one pool, and so is what the spend cap, in
/// major units of the currency, has room for.
pub fn project(
    so_far: &[SoFar],
    mut credits: u64,
    cap: Option<Decimal>,
    period: Period,
    now: i64,
) -> Vec<Projected> {
    let length = period.length_seconds();
    let gone = length.saturating_sub(period.seconds_left(now)).max(DAY_SECONDS).min(length);
    let amount = |meter: &SoFar| meter.price.unwrap_or_default().saturating_mul(meter.overage.into());
    let mut room = cap.map(|cap| so_far.iter().map(amount).fold(cap, Decimal::saturating_sub));
    let one = |meter: &SoFar| {
        let to_come = scaled(meter.current, length, gone) - meter.current;
        let beyond = to_come.saturating_sub(meter.left);
        let on_credits = beyond.min(credits);
        credits -= on_credits;
        let unpaid = beyond - on_credits;
        let overage = meter.price.map_or(0, |price| {
            let fits = room.map_or(unpaid, |room| unpaid.min(units_for(room, price)));
            room = room.map(|room| room.saturating_sub(price.saturating_mul(fits.into())));
            fits
        });
        Projected {
            units: meter.current.saturating_add(to_come - (unpaid - overage)),
            overage: meter.overage.saturating_add(overage),
        }
    };
    so_far.iter().map(one).collect()
}

/// `units * length / gone`, at least `units`.
fn scaled(units: u64, length: u64, gone: u64) -> u64 {
    if gone == 0 {
        return units;
    }
    let scaled = u128::from(units) * u128::from(length) / u128::from(gone);
    u64::try_from(scaled).unwrap_or(u64::MAX).max(units)
}

/// Whole units at a price, of a meter that costs nothing any number.
fn units_for(room: Decimal, price: Decimal) -> u64 {
    let units = room.max(Decimal::ZERO).checked_div(price);
    units.map_or(u64::MAX, |units| units.floor().to_u64().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MONTH: Period = Period { start: 0, end: 30 * 86_400 };

    fn at_day(day: i64, so_far: SoFar, credits: u64) -> Projected {
        project(&[so_far], credits, None, MONTH, day * 86_400)[0]
    }

    fn priced(current: u64, left: u64, overage: u64) -> SoFar {
        SoFar { current, left, overage, price: Some(Decimal::new(3, 2)) }
    }

    #[test]
    fn half_a_period_makes_twice_as_much() {
        let half = at_day(15, priced(700, 300, 0), 0);
        assert_eq!(half, Projected { units: 1_400, overage: 400 }, "1,000 are included");
        let beyond = at_day(15, priced(1_200, 0, 200), 0);
        assert_eq!(beyond, Projected { units: 2_400, overage: 1_400 });
    }

    #[test]
    fn credits_come_before_overage_and_are_one_pool() {
        assert_eq!(at_day(15, priced(700, 300, 0), 150), Projected { units: 1_400, overage: 250 });
        let two = project(&[priced(700, 300, 0), priced(700, 300, 0)], 500, None, MONTH, 15 * 86_400);
        assert_eq!(two.iter().map(|meter| meter.overage).collect::<Vec<_>>(), [0, 300]);
    }

    #[test]
    fn where_overage_is_denied_usage_ends_with_what_there_is() {
        let denied = SoFar { price: None, ..priced(90, 10, 0) };
        assert_eq!(at_day(15, denied, 0), Projected { units: 100, overage: 0 });
        assert_eq!(at_day(15, denied, 20), Projected { units: 120, overage: 0 });
        assert_eq!(at_day(27, denied, 0), Projected { units: 100, overage: 0 });
    }

    #[test]
    fn a_spend_cap_is_one_pool_that_units_fit_into_whole() {
        let overages = |cents, meters: &[SoFar]| {
            let projected = project(meters, 0, Some(Decimal::new(cents, 2)), MONTH, 15 * 86_400);
            for (projected, meter) in projected.iter().zip(meters) {
                let more = projected.overage - meter.overage;
                assert_eq!(projected.units, meter.current + meter.left.min(meter.current) + more);
            }
            projected.iter().map(|meter| meter.overage).collect::<Vec<_>>()
        };
        let half = priced(700, 300, 0);
        assert_eq!(overages(1_200, &[half]), [400], "it has room for all that is to come");
        assert_eq!(overages(1_000, &[half]), [333], "9.99 of 10.00");
        assert_eq!(overages(1_000, &[priced(1_200, 0, 200)]), [333], "6.00 of it is used");
        assert_eq!(overages(500, &[priced(1_200, 0, 200)]), [200], "it was lowered since");
        let free = SoFar { price: Some(Decimal::ZERO), ..half };
        assert_eq!(overages(1_500, &[half, half, free]), [400, 100, 400]);
    }

    #[test]
    fn a_first_minute_is_taken_for_a_day() {
        let first = project(&[priced(10, 1_000, 0)], 0, None, MONTH, 60)[0];
        assert_eq!((first.units, first), (300, at_day(1, priced(10, 1_000, 0), 0)));
    }

    #[test]
    fn a_period_that_is_over_stays_what_it_is() {
        let over = priced(1_200, 0, 200);
        assert_eq!(at_day(30, over, 0), Projected { units: 1_200, overage: 200 });
        assert_eq!(at_day(45, over, 0), Projected { units: 1_200, overage: 200 });
        let empty = Period { start: 5, end: 5 };
        assert_eq!(project(&[over], 0, None, empty, 5)[0], Projected { units: 1_200, overage: 200 });
    }

    proptest! {
        /// Against the same in exact fractions, and within what can be.
        #[test]
        fn a_projection_is_the_straight_line_to_the_end(
            included in 0u64..1_000_000, used in 0u64..2_000_000, credits in 0u64..100_000,
            length in 86_400i64..40_000_000, now in 0i64..50_000_000, goes_beyond: bool,
        ) {
            let used = if goes_beyond { used } else { used.min(included) };
            let (left, overage) = (included.saturating_sub(used), used.saturating_sub(included));
            let price = goes_beyond.then_some(Decimal::ONE);
            let meter = SoFar { current: used, left, overage, price };
            let projected = project(&[meter], credits, None, Period { start: 0, end: length }, now)[0];
            let gone = i128::from(now.clamp(86_400, length));
            let line = i128::from(used) * i128::from(length) / gone;
            prop_assert!(projected.units >= used && projected.overage >= overage);
            if goes_beyond {
                prop_assert_eq!(i128::from(projected.units), line);
                let beyond = (line - i128::from(used.max(included))).max(0);
                let expected = i128::from(overage) + (beyond - i128::from(credits)).max(0);
                prop_assert_eq!(i128::from(projected.overage), expected);
            } else {
                prop_assert_eq!(projected.overage, 0);
                prop_assert_eq!(i128::from(projected.units), line.min(i128::from(included) + i128::from(credits)));
            }
        }

        #[test]
        fn no_number_is_too_large(
            current: u64, left: u64, overage: u64, credits: u64, cents: Option<u64>, cap: Option<u64>,
            end in 1i64..i64::MAX / 4, now in 0i64..i64::MAX / 4,
        ) {
            let [price, cap] = [cents, cap].map(|cents| cents.map(|cents| Decimal::new(1, 28) * Decimal::from(cents)));
            let meter = SoFar { current, left, overage, price };
            let projected = project(&[meter, meter], credits, cap, Period { start: 0, end }, now);
            prop_assert!(projected.iter().all(|meter| meter.units >= current && meter.overage >= overage));
        }
    }
}
