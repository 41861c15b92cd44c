//! Prices as Stripe has them.

use serde_json::Value;

use super::form::Form;
use super::{Listed, find, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::{boolean, integer, text};
use crate::stripe::transport::Transport;

/// As many as one list may name.
const MOST_LOOKUP_KEYS: usize = 10;

/// The parts of a price that Tollgate uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceObject {
    pub id: String,
    pub active: bool,
    pub lookup_key: Option<String>,
    /// In lower case.
    pub currency: String,
    /// In minor units; none for graduated prices.
    pub unit_amount: Option<i64>,
    /// `month`, `year`, …; none of what is paid once.
    pub interval: Option<String>,
    pub interval_count: i64,
    /// `mtr_…` of a metered price.
    pub meter: Option<String>,
}

impl PriceObject {
    fn read(object: &Value) -> Option<Self> {
        Some(Self {
            id: text(object, "/id")?,
            active: boolean(object, "/active").unwrap_or_default(),
            lookup_key: text(object, "/lookup_key"),
            currency: text(object, "/currency").unwrap_or_default().to_ascii_lowercase(),
            unit_amount: integer(object, "/unit_amount"),
            interval: text(object, "/recurring/interval"),
            interval_count: integer(object, "/recurring/interval_count").unwrap_or(1),
            meter: text(object, "/recurring/meter"),
        })
    }
}

/// None when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_price(transport: &Transport, id: &str) -> Result<Option<PriceObject>, CallError> {
    let request = Form::default().get(format!("/prices/{id}"));
    let price = find(transport, "price_retrieve", request).await?;
    price.map(|price| PriceObject::read(&price).ok_or_else(|| not_a("price"))).transpose()
}

/// The active prices that have one of these lookup keys.
///
/// # Errors
/// See [`CallError`].
pub async fn list_prices(
    transport: &Transport,
    lookup_keys: &[String],
) -> Result<Vec<PriceObject>, CallError> {
    let mut prices = Vec::new();
    for keys in lookup_keys.chunks(MOST_LOOKUP_KEYS) {
        let form = Form::default().with("active", true).with("limit", 100);
        let form = keys.iter().fold(form, |form, key| form.with("lookup_keys[]", key));
        let page = transport.calls("price_list").read(form.get("/prices")).await?.json()?;
        prices.extend(Listed::read(&page, PriceObject::read).rows);
    }
    Ok(prices)
}
