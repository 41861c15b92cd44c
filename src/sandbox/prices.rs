//! Prices: licensed or metered, per unit or in graduated tiers. `tiers` appear only when expanded.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::period::Cadence;
use super::price_params;
use super::pricing::{Scheme, Tier};
use super::products;
use super::state::{Call, Metadata, State, merge_metadata, new_metadata};
use super::table::{Page, Row, list};

/// As many as a list may name.
const MAX_LOOKUP_KEYS: usize = 10;

#[derive(Debug, Clone)]
pub struct Price {
    pub id: String,
    pub product: String,
    pub active: bool,
    pub currency: String,
    pub nickname: Option<String>,
    pub lookup_key: Option<String>,
    pub metadata: Metadata,
    pub created: i64,
    pub scheme: Scheme,
    /// `None`: paid once.
    pub recurring: Option<Recurring>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurring {
    pub cadence: Cadence,
    /// The meter of a metered price; `None`: licensed.
    pub meter: Option<String>,
}

impl Row for Price {
    const NOUN: &'static str = "price";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Price {
    pub fn meter(&self) -> Option<&str> {
        self.recurring.as_ref()?.meter.as_deref()
    }

    /// Without `tiers`, which Stripe leaves out unless they are asked for.
    pub fn json(&self) -> Value {
        let (scheme, mode, unit) = match &self.scheme {
            Scheme::PerUnit(unit) => ("per_unit", None, Some(*unit)),
            Scheme::Graduated(_) => ("tiered", Some("graduated"), None),
        };
        json!({
            "id": self.id,
            "object": "price",
            "active": self.active,
            "billing_scheme": scheme,
            "created": self.created,
            "currency": self.currency,
            "custom_unit_amount": null,
            "livemode": false,
            "lookup_key": self.lookup_key,
            "metadata": self.metadata,
            "nickname": self.nickname,
            "product": self.product,
            "recurring": self.recurring.as_ref().map(Recurring::json),
            "tax_behavior": "unspecified",
            "tiers_mode": mode,
            "transform_quantity": null,
            "type": if self.recurring.is_some() { "recurring" } else { "one_time" },
            "unit_amount": unit.and_then(whole),
            "unit_amount_decimal": unit.map(plain),
        })
    }

    pub fn tiers_json(&self) -> Value {
        let Scheme::Graduated(tiers) = &self.scheme else {
            return Value::Null;
        };
        let tier = |tier: &Tier| {
            let flat = Some(tier.flat).filter(|flat| !flat.is_zero());
            json!({
                "flat_amount": flat.and_then(whole),
                "flat_amount_decimal": flat.map(plain),
                "unit_amount": whole(tier.unit),
                "unit_amount_decimal": plain(tier.unit),
                "up_to": tier.up_to,
            })
        };
        tiers.iter().map(tier).collect()
    }

    /// The old object that subscription items still carry beside the price.
    pub fn plan_json(&self) -> Value {
        let price = self.json();
        json!({
            "id": self.id,
            "object": "plan",
            "active": self.active,
            "amount": price["unit_amount"],
            "amount_decimal": price["unit_amount_decimal"],
            "billing_scheme": price["billing_scheme"],
            "created": self.created,
            "currency": self.currency,
            "interval": price["recurring"]["interval"],
            "interval_count": price["recurring"]["interval_count"],
            "livemode": false,
            "metadata": self.metadata,
            "meter": price["recurring"]["meter"],
            "nickname": self.nickname,
            "product": self.product,
            "tiers_mode": price["tiers_mode"],
            "transform_usage": null,
            "trial_period_days": null,
            "usage_type": price["recurring"]["usage_type"],
        })
    }
}

impl Recurring {
    fn json(&self) -> Value {
        json!({
            "interval": self.cadence.interval.name(),
            "interval_count": self.cadence.count,
            "meter": self.meter,
            "trial_period_days": null,
            "usage_type": if self.meter.is_some() { "metered" } else { "licensed" },
        })
    }
}

/// Whole cents, if the amount is whole.
fn whole(amount: Decimal) -> Option<i64> {
    amount.is_integer().then(|| amount.to_i64()).flatten()
}

/// A decimal string without trailing zeros.
pub fn plain(amount: Decimal) -> String {
    amount.normalize().to_string()
}

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let id = insert(state, call.now, call.params, None)?;
    Ok(state.prices.find(&id)?.json())
}

/// Adds a price, under the id given or a new one, and its product if that is described inline.
pub fn insert(state: &mut State, now: i64, params: &Params, id: Option<String>) -> Result<String, ApiError> {
    let currency = params.required("currency")?.to_ascii_lowercase();
    let recurring = price_params::recurring(state, params)?;
    let scheme = price_params::scheme(params)?;
    let active = params.boolean("active")?.unwrap_or(true);
    let lookup_key = params.owned("lookup_key");
    let product = match (params.filled("product"), params.group("product_data")) {
        (Some(id), _) => state.products.referenced(id, "product")?.id.clone(),
        (None, Some(data)) => products::insert(state, now, data)?,
        (None, None) => return Err(ApiError::parameter_missing("product")),
    };
    claim_lookup_key(state, lookup_key.as_deref(), params, None)?;
    let id = id.unwrap_or_else(|| state.ids.make("price"));
    state.prices.insert(Price {
        id: id.clone(),
        product,
        active,
        currency,
        nickname: params.owned("nickname"),
        lookup_key,
        metadata: new_metadata(params),
        created: now,
        scheme,
        recurring,
    });
    Ok(id)
}

/// A lookup key names one price; it moves only with `transfer_lookup_key`.
fn claim_lookup_key(
    state: &mut State,
    key: Option<&str>,
    params: &Params,
    claimant: Option<&str>,
) -> Result<(), ApiError> {
    let Some(key) = key else { return Ok(()) };
    let Some(holder) = by_lookup_key(state, key).map(|price| price.id.clone()) else {
        return Ok(());
    };
    if claimant == Some(holder.as_str()) {
        return Ok(());
    }
    if params.boolean("transfer_lookup_key")? != Some(true) {
        let message = format!("A price (`{holder}`) already uses that lookup key.");
        return Err(ApiError::refused(message).about("lookup_key"));
    }
    state.prices.find_mut(&holder)?.lookup_key = None;
    Ok(())
}

pub fn by_lookup_key<'a>(state: &'a State, key: &str) -> Option<&'a Price> {
    let mut prices = state.prices.iter();
    prices.find(|price| price.lookup_key.as_deref() == Some(key))
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.prices.find(call.id)?.json())
}

/// What a price costs never changes.
pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    params.only(&["active", "lookup_key", "metadata", "nickname", "transfer_lookup_key", "expand"])?;
    let active = params.boolean("active")?;
    state.prices.find(call.id)?;
    claim_lookup_key(state, params.filled("lookup_key"), params, Some(call.id))?;
    let price = state.prices.find_mut(call.id)?;
    price.active = active.unwrap_or(price.active);
    if params.text("nickname").is_some() {
        price.nickname = params.owned("nickname");
    }
    if params.text("lookup_key").is_some() {
        price.lookup_key = params.owned("lookup_key");
    }
    merge_metadata(&mut price.metadata, params);
    Ok(price.json())
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    let active = params.boolean("active")?;
    let keys = params.texts("lookup_keys");
    if keys.len() > MAX_LOOKUP_KEYS {
        let message = "You may only specify up to 10 lookup_keys.";
        return Err(ApiError::parameter("lookup_keys", "parameter_invalid", message));
    }
    let (product, kind) = (params.filled("product"), params.filled("type"));
    let keep = |price: &Price| {
        let key = price.lookup_key.as_deref();
        active.is_none_or(|active| price.active == active)
            && (keys.is_empty() || key.is_some_and(|key| keys.contains(&key)))
            && product.is_none_or(|product| price.product == product)
            && kind.is_none_or(|kind| (kind == "recurring") == price.recurring.is_some())
    };
    let (rows, more) = state.prices.page(&Page::read(params)?, None, keep)?;
    let data = rows.into_iter().map(Price::json).collect();
    Ok(list("/v1/prices", data, more))
}
