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
use crate::live::Live;
use crate::stripe::{CallError, PriceObject, Transport, list_prices, retrieve_price};

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
        let prices = Arc::new(self.sort(tier, &self.ask(tier).await?));
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
        let keys: Vec<_> = suffixes.map(|suffix| format!("tollgate_{}_{suffix}", tier.name)).collect();
        prices.extend(list_prices(&self.transport, &keys).await?);
        Ok(prices)
    }

    /// Who comes first is taken. A tier whose usage could not be billed is not sold: its overage would cost nothing.
    fn sort(&self, tier: &Tier, found: &[PriceObject]) -> TierPrices {
        let mut prices = TierPrices::default();
        for price in found.iter().filter(|price| self.can_be_sold(tier, price)) {
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
        let charged = self.catalogue.now().meter_ids().filter(|meter| tier.charges(*meter).is_some()).count();
        if prices.metered.len() < charged {
            let (tier, found) = (&*tier.name, prices.metered.len());
            tracing::error!(
                tier,
                charged,
                found,
                "Stripe lacks an active metered price: the tier is not sold"
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
