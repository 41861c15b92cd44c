//! Products and prices as Stripe has them, archived ones too.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::domain::money::Currency;
use crate::domain::offer::{Every, Step, Terms};
use crate::stripe::buying::form::Form;
use crate::stripe::buying::{find, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::{boolean, elements, id, integer, text};
use crate::stripe::transport::Transport;

/// As many as one list may name.
const MOST_LOOKUP_KEYS: usize = 10;
const MOST_IDS: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoldProduct {
    pub id: String,
    pub active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoldPrice {
    pub id: String,
    pub active: bool,
    pub lookup_key: Option<String>,
    /// `metadata.tollgate_lookup_key`.
    pub noted_key: Option<String>,
    pub product: String,
    /// `mtr_…` of a metered price.
    pub meter: Option<String>,
    pub terms: Terms,
    /// What else it does to an amount, which no terms of ours can say.
    pub oddities: Vec<String>,
    /// `inclusive` or `exclusive`.
    pub tax_behavior: Option<String>,
}

/// The products that have one of these ids.
///
/// # Errors
/// See [`CallError`].
pub async fn find_products(transport: &Transport, ids: &[String]) -> Result<Vec<SoldProduct>, CallError> {
    let mut products = Vec::new();
    for ids in ids.chunks(MOST_IDS) {
        let form = ids.iter().fold(Form::default().with("limit", 100), |form, id| form.with("ids[]", id));
        let page = transport.calls("product_list").read(form.get("/products")).await?.json()?;
        for object in listed(&page)? {
            products.push(read_product(object).ok_or_else(|| not_a("product"))?);
        }
    }
    Ok(products)
}

/// The prices that have one of these lookup keys, active or archived.
///
/// # Errors
/// See [`CallError`].
pub async fn find_sold_prices(transport: &Transport, keys: &[String]) -> Result<Vec<SoldPrice>, CallError> {
    let mut prices = Vec::new();
    for keys in keys.chunks(MOST_LOOKUP_KEYS) {
        let form = Form::default().with("limit", 100).with("expand[]", "data.tiers");
        let form = keys.iter().fold(form, |form, key| form.with("lookup_keys[]", key));
        let page = transport.calls("price_list").read(form.get("/prices")).await?.json()?;
        for object in listed(&page)? {
            prices.push(read_price(object).ok_or_else(|| not_a("price"))?);
        }
    }
    Ok(prices)
}

/// A price by its id; none when Stripe does not have it.
///
/// # Errors
/// See [`CallError`].
pub async fn find_sold_price(transport: &Transport, id: &str) -> Result<Option<SoldPrice>, CallError> {
    let request = Form::default().with("expand[]", "tiers").get(format!("/prices/{id}"));
    let price = find(transport, "price_retrieve", request).await?;
    price.map(|price| read_price(&price).ok_or_else(|| not_a("price"))).transpose()
}

/// What is no list must not pass for an empty one: everything would be made anew.
fn listed(page: &Value) -> Result<&[Value], CallError> {
    let list = page.pointer("/data").and_then(Value::as_array).ok_or_else(|| not_a("list"))?;
    if boolean(page, "/has_more") == Some(true) {
        return Err(CallError::Unreadable { reason: "more objects than were asked for".to_owned() });
    }
    Ok(list)
}

fn read_product(object: &Value) -> Option<SoldProduct> {
    Some(SoldProduct { id: text(object, "/id")?, active: boolean(object, "/active")? })
}

fn read_price(object: &Value) -> Option<SoldPrice> {
    let tax_behavior = text(object, "/tax_behavior").filter(|behavior| behavior != "unspecified");
    Some(SoldPrice {
        id: text(object, "/id")?,
        active: boolean(object, "/active")?,
        lookup_key: text(object, "/lookup_key"),
        noted_key: text(object, "/metadata/tollgate_lookup_key"),
        product: id(object, "/product")?,
        meter: text(object, "/recurring/meter"),
        terms: Terms {
            currency: Currency::parse(&text(object, "/currency")?)?,
            every: Every {
                // What is paid once recurs never.
                interval: text(object, "/recurring/interval").unwrap_or_else(|| "purchase".to_owned()),
                count: integer(object, "/recurring/interval_count").unwrap_or(1),
            },
            metered: text(object, "/recurring/usage_type").as_deref() == Some("metered"),
            steps: steps(object),
        },
        oddities: oddities(object),
        tax_behavior,
    })
}

fn steps(object: &Value) -> Vec<Step> {
    if text(object, "/billing_scheme").as_deref() != Some("tiered") {
        return amount(object, "unit_amount").map(Step::last).into_iter().collect();
    }
    let step = |tier: &Value| Step {
        up_to: integer(tier, "/up_to").and_then(|last| u64::try_from(last).ok()),
        unit: amount(tier, "unit_amount").unwrap_or_default(),
        flat: amount(tier, "flat_amount").unwrap_or_default(),
    };
    elements(object, "/tiers").iter().map(step).collect()
}

/// Exact: with decimals where there are any.
fn amount(object: &Value, name: &str) -> Option<Decimal> {
    let decimal = text(object, &format!("/{name}_decimal")).and_then(|text| text.parse().ok());
    decimal.or_else(|| integer(object, &format!("/{name}")).map(Decimal::from))
}

fn oddities(object: &Value) -> Vec<String> {
    let is_volume = text(object, "/tiers_mode").as_deref() == Some("volume");
    let volume = is_volume && elements(object, "/tiers").len() > 1;
    let has = |pointer: &str| object.pointer(pointer).is_some_and(|value| !value.is_null());
    let found = [
        (volume, "the last step's amount is taken for all units (volume)"),
        (has("/transform_quantity"), "it divides the quantity (transform_quantity)"),
        (has("/custom_unit_amount"), "customers choose its amount (custom_unit_amount)"),
    ];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what.to_owned()).collect()
}
