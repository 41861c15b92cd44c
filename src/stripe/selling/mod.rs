//! What selling asks of Stripe: the meters, products and prices of an offer, found and made.
//!
//! Whatever is made carries an idempotency key that is derived from it and from what it replaces: a run that broke off
//! goes on with the next one, and of two at once the second is answered what the first has made. Where the answer is an
//! error that Stripe has stored, and nothing is there all the same, another key is taken. Stripe's own names (an event
//! name, a product's id, a lookup key) are the second net. Nothing here deletes or archives.

mod find;
mod make;

pub use find::{SoldPrice, SoldProduct, find_products, find_sold_price, find_sold_prices};
pub use make::{NewPrice, PriceInPlace, create_meter, create_price, create_product, note_lookup_key};

#[cfg(test)]
mod tests;
