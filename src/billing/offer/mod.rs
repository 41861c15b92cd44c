//! The offer at Stripe: what is there is found, compared with what the configuration sells, and what is missing made.
//!
//! - A plan is a value: [`Plan::of`] neither asks nor changes anything.
//! - Nothing is deleted, archived or taken from who has it. A price's amount never changes at Stripe: only who asks
//!   for it gets a new price, to which the lookup key goes over.
//! - What is made is made once, however often, and by however many at once, it is tried ([`crate::stripe`]).
//! - A tier that is made in part is not sold: the price book asks for all metered prices.

mod make;
mod plan;
#[cfg(test)]
mod tests;

pub use make::{Broken, make};
pub use plan::{Entry, Plan, Replaced, State, Subject};

use crate::domain::offer::{Offer, OfferedTier};
use crate::stripe::{
    CallError, Meter, SoldPrice, SoldProduct, Transport, find_products, find_sold_price, find_sold_prices,
    list_meters,
};

/// What Stripe has of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub meters: Vec<Meter>,
    pub products: Vec<SoldProduct>,
    pub prices: Vec<SoldPrice>,
}

/// Asks Stripe for all that the offer could be made of; nothing is changed. What is made last is asked for first: so
/// while another run makes it all, nothing is seen without what it is built on.
///
/// # Errors
/// See [`CallError`].
pub async fn look(transport: &Transport, offer: &Offer) -> Result<Found, CallError> {
    let keys: Vec<String> =
        offer.tiers.iter().flat_map(OfferedTier::lookup_keys).map(str::to_owned).collect();
    let mut prices = find_sold_prices(transport, &keys).await?;
    for id in offer.tiers.iter().flat_map(|tier| &tier.named) {
        if prices.iter().all(|price| price.id != *id) {
            prices.extend(find_sold_price(transport, id).await?);
        }
    }
    let of_prices = prices.iter().map(|price| price.product.clone());
    let mut products: Vec<String> = offer.tiers.iter().map(OfferedTier::product).chain(of_prices).collect();
    products.sort_unstable();
    products.dedup();
    let products = find_products(transport, &products).await?;
    Ok(Found { meters: list_meters(transport).await?, products, prices })
}
