//! What a replay came to: by tier and by customer, in units and money.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rust_decimal::Decimal;

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::domain::catalogue::Catalogue;
use crate::domain::tier::Price;

use super::mapping::Mapping;
use super::replay::Replay;
use super::tally::{OfMeter, Tallies, Tally};

/// Everything that was found.
pub(super) struct Sides {
    pub records: u64,
    /// Since when there are records, where the span began before.
    pub begins: Option<i64>,
    pub recorded: Side,
    /// None: it is not known.
    pub current: Option<Side>,
    pub new: Side,
    pub is_of_fleet: bool,
}

/// What one configuration makes of it, or what was recorded.
pub(super) struct Side {
    pub mapping: Mapping,
    pub tallies: HashMap<u32, Tallies>,
}

impl Side {
    pub fn of(replay: Replay) -> Self {
        let (mapping, tallies) = replay.into_tallies();
        Self { mapping, tallies }
    }
}

/// Of a tier, or of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub requests: u64,
    /// By code.
    pub refused: BTreeMap<&'static str, u64>,
    /// By meter.
    pub meters: BTreeMap<String, OfMeter>,
}

impl Sums {
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    pub fn amount(&self) -> Decimal {
        self.meters.values().map(|meter| meter.amount).fold(Decimal::ZERO, Decimal::saturating_add)
    }

    fn add(&mut self, tally: &Tally, catalogue: &Catalogue) {
        self.requests += tally.requests;
        for (code, count) in tally.refusals() {
            *self.refused.entry(code.as_str()).or_default() += count;
        }
        for (meter, found) in tally.meters() {
            self.meters.entry(catalogue.meter(meter).name.to_string()).or_default().add(&found);
        }
    }
}

/// The same under both, or as it was recorded where the current one is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Compared {
    pub name: String,
    /// The tier of a customer.
    pub tier: String,
    pub customers: u64,
    pub recorded: Sums,
    pub current: Option<Sums>,
    pub new: Sums,
    /// What the tier costs, under either.
    pub flat: [Option<Price>; 2],
}

impl Compared {
    /// What is compared with.
    pub fn before(&self) -> &Sums {
        self.current.as_ref().unwrap_or(&self.recorded)
    }

    pub fn refusals(&self) -> i128 {
        i128::from(self.new.refusals()) - i128::from(self.before().refusals())
    }

    /// None where the current prices are not known.
    pub fn amount(&self) -> Option<Decimal> {
        self.current.as_ref().map(|current| self.new.amount().saturating_sub(current.amount()))
    }

    /// What a month of flat fees comes to more; none where a tier is sold by the year alone.
    pub fn flat_difference(&self) -> Option<Decimal> {
        let monthly = |price: Option<Price>| {
            let Price { monthly, yearly } = price.unwrap_or_default();
            monthly.or(yearly.is_none().then_some(Decimal::ZERO))
        };
        let [before, after] = self.flat.map(monthly);
        Some((after? - before?).saturating_mul(Decimal::from(self.customers)))
    }
}

#[derive(Clone, Copy)]
enum Which {
    Recorded,
    Current,
    New,
}

/// By tier, and by customer those who differ most first.
pub(super) fn compare(sides: &mut Sides, books: &Books) -> Result<(Vec<Compared>, Vec<Compared>), Failure> {
    let mut tiers: BTreeMap<u32, Compared> = BTreeMap::new();
    let mut customers: BTreeMap<u32, Compared> = BTreeMap::new();
    let has_current = sides.current.is_some();
    let all = [
        (Which::Recorded, Some(&mut sides.recorded)),
        (Which::Current, sides.current.as_mut()),
        (Which::New, Some(&mut sides.new)),
    ];
    for (which, side) in all {
        let Some(Side { mapping, tallies }) = side else { continue };
        for (customer, tallies) in tallies.iter() {
            for (tier, tally) in tallies.iter() {
                let of_tier = tiers.entry(tier).or_default();
                let of_customer = customers.entry(*customer).or_default();
                for compared in [of_tier, of_customer] {
                    compared.of(which).add(tally, &mapping.catalogue);
                }
            }
            let last = tallies.last_tier().unwrap_or(0);
            if let Which::Recorded = which {
                tiers.entry(last).or_default().customers += 1;
            }
        }
    }
    for (tier, compared) in &mut tiers {
        compared.name = books.name(*tier)?.map_or_else(|| "-".into(), |name| name.to_string());
        let price =
            |mapping: &mut Mapping| Ok::<_, Failure>(mapping.tier(*tier, books)?.map(|tier| tier.price));
        let current = sides.current.as_mut().map(|side| price(&mut side.mapping)).transpose()?.flatten();
        compared.flat = [current, price(&mut sides.new.mapping)?];
        compared.current = compared.current.take().or_else(|| has_current.then(Sums::default));
    }
    for (number, compared) in &mut customers {
        compared.name =
            books.customer(*number)?.map_or_else(|| format!("#{number}"), |name| name.to_string());
        let tier = sides.recorded.tallies.get(number).and_then(Tallies::last_tier).unwrap_or(0);
        compared.tier = books.name(tier)?.map_or_else(|| "-".into(), |name| name.to_string());
        compared.current = compared.current.take().or_else(|| has_current.then(Sums::default));
    }
    let mut customers: Vec<_> = customers.into_values().collect();
    let weight = |compared: &Compared| {
        let amount = compared.amount().unwrap_or_else(|| compared.new.amount()).abs();
        (amount, compared.refusals().abs())
    };
    customers.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.name.cmp(&b.name)));
    Ok((tiers.into_values().collect(), customers))
}

impl Compared {
    fn of(&mut self, which: Which) -> &mut Sums {
        match which {
            Which::Recorded => &mut self.recorded,
            Which::Current => self.current.get_or_insert_default(),
            Which::New => &mut self.new,
        }
    }
}
