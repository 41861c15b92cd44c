//! Products: what prices belong to.

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::{Call, Metadata, State, merge_metadata, new_metadata};
use super::table::{Page, Row, list};

#[derive(Debug, Clone)]
pub struct Product {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub active: bool,
    pub metadata: Metadata,
    pub created: i64,
    pub updated: i64,
}

impl Row for Product {
    const NOUN: &'static str = "product";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Product {
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "product",
            "active": self.active,
            "created": self.created,
            "default_price": null,
            "description": self.description,
            "images": [],
            "livemode": false,
            "marketing_features": [],
            "metadata": self.metadata,
            "name": self.name,
            "package_dimensions": null,
            "shippable": null,
            "statement_descriptor": null,
            "tax_code": null,
            "type": "service",
            "unit_label": null,
            "updated": self.updated,
            "url": null,
        })
    }
}

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let id = insert(state, call.now, call.params)?;
    Ok(state.products.find(&id)?.json())
}

/// Adds a product, under the id asked for or a new one.
pub fn insert(state: &mut State, now: i64, params: &Params) -> Result<String, ApiError> {
    let name = params.required("name")?.to_owned();
    let id = match params.owned("id") {
        Some(id) if state.products.get(&id).is_some() => {
            return Err(ApiError::refused("Product already exists.").about("id"));
        }
        Some(id) => id,
        None => state.ids.make("prod"),
    };
    state.products.insert(Product {
        id: id.clone(),
        name,
        description: params.owned("description"),
        active: params.boolean("active")?.unwrap_or(true),
        metadata: new_metadata(params),
        created: now,
        updated: now,
    });
    Ok(id)
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.products.find(call.id)?.json())
}

pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let active = call.params.boolean("active")?;
    let product = state.products.find_mut(call.id)?;
    product.active = active.unwrap_or(product.active);
    if let Some(name) = call.params.owned("name") {
        product.name = name;
    }
    if call.params.text("description").is_some() {
        product.description = call.params.owned("description");
    }
    merge_metadata(&mut product.metadata, call.params);
    product.updated = call.now;
    Ok(product.json())
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let active = call.params.boolean("active")?;
    let ids = call.params.texts("ids");
    let keep = |product: &Product| {
        active.is_none_or(|active| product.active == active)
            && (ids.is_empty() || ids.contains(&product.id.as_str()))
    };
    let (rows, more) = state.products.page(&Page::read(call.params)?, None, keep)?;
    let data = rows.into_iter().map(Product::json).collect();
    Ok(list("/v1/products", data, more))
}
