//! Meters, products and prices that are made; each answers its id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use stripe_billing::billing_meter::{
    CreateBillingMeter, CreateBillingMeterDefaultAggregation, CreateBillingMeterDefaultAggregationFormula,
};
use stripe_client_core::{IdempotencyKey, RequestBuilder, StripeRequest};
use uuid::Uuid;

use crate::domain::offer::{Step, Terms};
use crate::stripe::buying::form::Form;
use crate::stripe::buying::{change, not_a};
use crate::stripe::error::CallError;
use crate::stripe::loose::text;
use crate::stripe::meters::{Meter, list_meters};
use crate::stripe::transport::Transport;

use super::find::{find_products, find_sold_prices};

#[derive(Clone, Copy, Debug)]
pub struct NewPrice<'a> {
    pub product: &'a str,
    pub tier: &'a str,
    pub lookup_key: &'a str,
    pub terms: &'a Terms,
    /// `mtr_…`, of a metered price.
    pub meter: Option<&'a str>,
    pub replaces: Option<PriceInPlace<'a>>,
}

/// A price that loses its lookup key to a new one.
#[derive(Clone, Copy, Debug)]
pub struct PriceInPlace<'a> {
    pub id: &'a str,
    pub tax_behavior: Option<&'a str>,
}

/// Makes a meter that sums up the events of a name.
///
/// # Errors
/// See [`CallError`].
pub async fn create_meter(transport: &Transport, name: &str, event_name: &str) -> Result<String, CallError> {
    let sum = CreateBillingMeterDefaultAggregation::new(CreateBillingMeterDefaultAggregationFormula::Sum);
    let request = CreateBillingMeter::new(sum, name, event_name);
    let is_it = |meter: &Meter| meter.active && meter.event_name == event_name;
    let there = async || {
        let meters = list_meters(transport).await?;
        Ok(meters.into_iter().find(is_it).map(|meter| meter.id))
    };
    make(transport, "meter_create", || request.build(), "", there).await
}

/// Makes the product of a tier.
///
/// # Errors
/// See [`CallError`].
pub async fn create_product(transport: &Transport, id: &str, tier: &str) -> Result<String, CallError> {
    let form = Form::default().with("id", id).with("name", tier).with("metadata[tollgate_tier]", tier);
    let there = async || {
        let products = find_products(transport, &[id.to_owned()]).await?;
        Ok(products.into_iter().next().map(|product| product.id))
    };
    make(transport, "product_create", || form.clone().post("/products"), "", there).await
}

/// Makes a price. One that replaces another takes over its lookup key.
///
/// # Errors
/// See [`CallError`].
pub async fn create_price(transport: &Transport, new: &NewPrice<'_>) -> Result<String, CallError> {
    let replaced = new.replaces.map_or("", |replaced| replaced.id);
    let there = async || {
        let prices = find_sold_prices(transport, &[new.lookup_key.to_owned()]).await?;
        Ok(prices.into_iter().map(|price| price.id).find(|id| id != replaced))
    };
    make(transport, "price_create", || form(new).post("/prices"), replaced, there).await
}

/// Notes on a price which lookup key it was made under, so that it goes on standing for its tier without it.
///
/// # Errors
/// See [`CallError`].
pub async fn note_lookup_key(
    transport: &Transport,
    price: &str,
    lookup_key: &str,
    tier: &str,
) -> Result<(), CallError> {
    let request = || with_metadata(Form::default(), lookup_key, tier).post(format!("/prices/{price}"));
    // To note it twice does no harm.
    make(transport, "price_update", request, "", async || Ok(None)).await.map(drop)
}

/// An error that Stripe has stored would be said again for a day, so it is asked once more under a key of this run's.
/// `there` answers the id of what was made in spite of the error.
async fn make(
    transport: &Transport,
    operation: &'static str,
    request: impl Fn() -> RequestBuilder,
    replaced: &str,
    there: impl AsyncFnOnce() -> Result<Option<String>, CallError>,
) -> Result<String, CallError> {
    let name = name(&request(), replaced);
    let mut made = change(transport, operation, request(), &key(&name)?).await;
    if made.as_ref().is_err_and(CallError::is_replayed) {
        if let Some(id) = there().await? {
            return Ok(id);
        }
        let another = key(&format!("{name}-{}", Uuid::new_v4()))?;
        made = change(transport, operation, request(), &another).await;
    }
    text(&made?, "/id").ok_or_else(|| not_a("new object"))
}

/// The same for the same. What is replaced is a part of it: whoever goes back to an earlier price within a day makes
/// another one, instead of being answered the first.
fn name(request: &RequestBuilder, replaced: &str) -> String {
    let body = request.body.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{}\n{replaced}\n{body}", request.path));
    format!("tollgate-offer-{}", URL_SAFE_NO_PAD.encode(digest))
}

fn key(name: &str) -> Result<IdempotencyKey, CallError> {
    let unsendable = |_| CallError::Unsendable { reason: "its idempotency key is too long".to_owned() };
    IdempotencyKey::new(name).map_err(unsendable)
}

fn form(new: &NewPrice<'_>) -> Form {
    let NewPrice { product, tier, lookup_key, terms, meter, replaces } = new;
    let form = Form::default()
        .with("product", product)
        .with("currency", terms.currency.code())
        .with("lookup_key", lookup_key)
        .with_some("transfer_lookup_key", replaces.is_some().then_some(true))
        .with_some("tax_behavior", replaces.and_then(|replaced| replaced.tax_behavior))
        .with("recurring[interval]", &terms.every.interval)
        .with("recurring[interval_count]", terms.every.count)
        .with("recurring[usage_type]", if meter.is_some() { "metered" } else { "licensed" })
        .with_some("recurring[meter]", *meter);
    with_metadata(with_steps(form, &terms.steps), lookup_key, tier)
}

/// One step alone is a price per unit.
fn with_steps(form: Form, steps: &[Step]) -> Form {
    if let [only] = steps {
        return form.with("billing_scheme", "per_unit").with("unit_amount_decimal", only.unit.normalize());
    }
    let form = form.with("billing_scheme", "tiered").with("tiers_mode", "graduated");
    steps.iter().enumerate().fold(form, |form, (at, step)| {
        let up_to = step.up_to.map_or_else(|| "inf".to_owned(), |last| last.to_string());
        form.with(&format!("tiers[{at}][up_to]"), up_to)
            .with(&format!("tiers[{at}][unit_amount_decimal]"), step.unit.normalize())
    })
}

fn with_metadata(form: Form, lookup_key: &str, tier: &str) -> Form {
    form.with("metadata[tollgate_tier]", tier).with("metadata[tollgate_lookup_key]", lookup_key)
}
