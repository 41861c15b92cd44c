//! The price book: which prices at Stripe stand for a tier.
//!
//! The file names prices without saying what they are, or none at all; Stripe says by interval and meter. What is
//! found is kept for some minutes: so a price that is replaced there is sold here soon after.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use crate::domain::buying::{Cycle, MeteredPrice, TierPrices};
use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Tier, TierId};
use crate::domain::units::Meter as OwnMeter;
use crate::live::Live;
use crate::stripe::{CallError, Meter, PriceObject, Transport, list_meters, list_prices, retrieve_price};

const FRESH: Duration = Duration::from_mins(5);

pub(super) struct PriceBook {
    catalogue: Arc<Live<Catalogue>>,
    transport: Arc<Transport>,
    known: Mutex<HashMap<TierId, (Instant, Arc<TierPrices>)>>,
}

impl PriceBook {
    pub fn new(catalogue: Arc<Live<Catalogue>>, transport: Arc<Transport>) -> Self {
        Self { catalogue, transport, known: Mutex::default() }
    }

    pub async fn of(&self, tier: &Tier) -> Result<Arc<TierPrices>, CallError> {
        if let Some((at, prices)) = self.known().get(&tier.id)
            && at.elapsed() < FRESH
        {
            return Ok(prices.clone());
        }
        let found = self.ask(tier).await?;
        let meters = if found.iter().any(|price| price.meter.is_some()) {
            list_meters(&self.transport).await?
        } else {
            Vec::new()
        };
        let prices = Arc::new(self.sort(tier, &found, &meters));
        // What Stripe lacks may be made at any moment: who comes then must not wait.
        if prices.monthly.is_some() || prices.yearly.is_some() {
            self.known().insert(tier.id, (Instant::now(), prices.clone()));
        }
        Ok(prices)
    }

    /// Asks Stripe anew the next time: it did not take a price.
    pub fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TierId, (Instant, Arc<TierPrices>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that could stand for the tier: what the file names first, then what has its lookup keys.
    async fn ask(&self, tier: &Tier) -> Result<Vec<PriceObject>, CallError> {
        let mut prices = Vec::new();
        for id in &tier.stripe_prices {
            let price = retrieve_price(&self.transport, id).await?;
            if price.is_none() {
                tracing::warn!(tier = &*tier.name, price = id, "Stripe does not have this price");
            }
            prices.extend(price);
        }
        let suffixes = ["monthly", "yearly"].into_iter();
        let catalogue = self.catalogue.now();
        let suffixes = suffixes.chain(catalogue.meters.iter().map(|meter| &*meter.name));
        let keys: Vec<_> = suffixes.map(|suffix| tier.lookup_key(suffix)).collect();
        prices.extend(list_prices(&self.transport, &keys).await?);
        Ok(prices)
    }

    /// Who comes first is taken. A tier whose usage could not be billed is not sold: its overage would cost nothing.
    fn sort(&self, tier: &Tier, found: &[PriceObject], meters: &[Meter]) -> TierPrices {
        let catalogue = self.catalogue.now();
        let is_sold = |price: &&PriceObject| {
            self.can_be_sold(tier, price) && !is_misplaced(price, tier, &catalogue, meters)
        };
        let mut prices = TierPrices::default();
        for price in found.iter().filter(is_sold) {
            let id = || price.id.clone();
            match (&price.meter, price.interval.as_deref(), price.interval_count) {
                (Some(meter), ..) if prices.metered.iter().all(|known| known.meter != *meter) => {
                    prices.metered.push(MeteredPrice { price: id(), meter: meter.clone() });
                }
                (None, Some("month"), 1) if prices.monthly.is_none() => {
                    self.compare(tier, Cycle::Monthly, price);
                    prices.monthly = Some(id());
                }
                (None, Some("year"), 1) if prices.yearly.is_none() => {
                    self.compare(tier, Cycle::Yearly, price);
                    prices.yearly = Some(id());
                }
                _ => {}
            }
        }
        let charged = catalogue.meter_ids().filter(|id| tier.charges(*id).is_some());
        let has_price = |meter: &&OwnMeter| {
            let counting = at_stripe(meter, meters);
            prices.metered.iter().any(|price| Some(&*price.meter) == counting)
        };
        let lacking = charged.map(|id| catalogue.meter(id)).find(|meter| !has_price(meter));
        if let Some(meter) = lacking {
            let (tier, meter) = (&*tier.name, &*meter.name);
            tracing::error!(
                tier,
                meter,
                "Stripe has no active price for what this meter counts: the tier is not sold; see `tollgate tiers diff`"
            );
            return TierPrices::default();
        }
        prices
    }

    fn can_be_sold(&self, tier: &Tier, price: &PriceObject) -> bool {
        let currency = self.catalogue.now().currency;
        let ours = currency.code();
        if price.currency != ours {
            let (price, currency) = (&price.id, &price.currency);
            tracing::error!(
                tier = &*tier.name,
                price,
                currency,
                ours,
                "a price in another currency is not sold"
            );
            return false;
        }
        price.active
    }

    /// What customers pay is Stripe's amount; the file's is what they were told.
    fn compare(&self, tier: &Tier, cycle: Cycle, price: &PriceObject) {
        let told = match cycle {
            Cycle::Monthly => tier.price.monthly,
            Cycle::Yearly => tier.price.yearly,
        };
        let asked: Option<Decimal> =
            price.unit_amount.map(|minor| self.catalogue.now().currency.major(minor));
        if told != asked {
            let (tier, price, cycle) = (&*tier.name, &price.id, cycle.as_str());
            tracing::warn!(
                tier,
                price,
                cycle,
                ?told,
                ?asked,
                "Stripe asks another price than /pricing tells"
            );
        }
    }
}

/// Stripe's id of the meter that takes what is reported of one of ours.
fn at_stripe<'a>(meter: &OwnMeter, meters: &'a [Meter]) -> Option<&'a str> {
    let takes = |known: &&Meter| known.active && known.event_name == *meter.stripe_event_name;
    meters.iter().find(takes).map(|known| &*known.id)
}

/// A metered price that counts something else than its lookup key says, such as events of a name that the meter had
/// earlier. What the file names by id is as its writer wants it.
fn is_misplaced(price: &PriceObject, tier: &Tier, catalogue: &Catalogue, meters: &[Meter]) -> bool {
    let Some(counting) = price.meter.as_deref() else { return false };
    let is_for = |meter: &OwnMeter| {
        price.lookup_key.as_deref() == Some(&*tier.lookup_key(&meter.name))
            && at_stripe(meter, meters) == Some(counting)
    };
    !tier.stripe_prices.contains(&price.id) && !catalogue.meters.iter().any(is_for)
}
