//! Customers. A deleted one stays readable as `{"deleted": true}`; its subscriptions end.

use serde_json::{Value, json};

use super::error::ApiError;
use super::events::{self, changed};
use super::params::Params;
use super::span::Span;
use super::state::{Call, Metadata, State, merge_metadata};
use super::table::{Page, Row, list};
use super::{known, payment_methods, subscriptions};

#[derive(Debug, Clone)]
pub struct Customer {
    pub id: String,
    pub created: i64,
    pub name: Option<String>,
    pub email: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub deleted: bool,
    /// The card that pays its invoices.
    pub default_payment_method: Option<String>,
    /// Whether its bank declines everything: a hook says so.
    pub declines: bool,
    /// The lookup keys of the features it is entitled to.
    pub features: Vec<String>,
}

impl Row for Customer {
    const NOUN: &'static str = "customer";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Customer {
    pub fn json(&self) -> Value {
        if self.deleted {
            return json!({"id": self.id, "object": "customer", "deleted": true});
        }
        json!({
            "id": self.id,
            "object": "customer",
            "address": null,
            "balance": 0,
            "created": self.created,
            "currency": null,
            "default_source": null,
            "delinquent": false,
            "description": self.description,
            "discount": null,
            "email": self.email,
            "invoice_prefix": null,
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": self.default_payment_method,
                "footer": null,
                "rendering_options": null,
            },
            "livemode": false,
            "metadata": self.metadata,
            "name": self.name,
            "phone": null,
            "preferred_locales": [],
            "shipping": null,
            "tax_exempt": "none",
            "test_clock": null,
        })
    }

    fn set(&mut self, params: &Params) {
        let change = |field: &mut Option<String>, name: &str| {
            if params.text(name).is_some() {
                *field = params.owned(name);
            }
        };
        change(&mut self.name, "name");
        change(&mut self.email, "email");
        change(&mut self.description, "description");
        merge_metadata(&mut self.metadata, params);
    }
}

/// The customer that a parameter names, if it is not deleted.
pub fn referenced<'a>(state: &'a State, id: &str, param: &str) -> Result<&'a Customer, ApiError> {
    let customer = state.customers.referenced(id, param)?;
    if customer.deleted {
        return Err(ApiError::no_such_reference(Customer::NOUN, id, param));
    }
    Ok(customer)
}

/// With `payment_method` the card is attached at once, and refused before there is a customer.
pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    call.params.only(known::CUSTOMER)?;
    let card = call.params.filled("payment_method");
    if let Some(card) = card {
        payment_methods::attachable(state, card, "payment_method")?;
    }
    if call
        .params
        .group("invoice_settings")
        .and_then(|group| group.filled("default_payment_method"))
        .is_some()
        && card.is_none()
    {
        let message = "A new customer has no payment method but the one it is created with.";
        return Err(ApiError::missing(message).about("invoice_settings[default_payment_method]"));
    }
    let mut customer = blank(state, call.now);
    customer.set(call.params);
    if let Some(card) = card {
        let card = payment_methods::attach_to(state, call.now, card, &customer.id)?;
        let default = call.params.group("invoice_settings").is_some();
        customer.default_payment_method = default.then_some(card);
    }
    Ok(keep(state, call.now, customer))
}

/// Adds a customer and returns its id.
pub fn insert(state: &mut State, now: i64, params: &Params) -> String {
    let mut customer = blank(state, now);
    customer.set(params);
    let id = customer.id.clone();
    keep(state, now, customer);
    id
}

fn blank(state: &mut State, now: i64) -> Customer {
    Customer {
        id: state.ids.make("cus"),
        created: now,
        name: None,
        email: None,
        description: None,
        metadata: Metadata::new(),
        deleted: false,
        default_payment_method: None,
        declines: false,
        features: Vec::new(),
    }
}

fn keep(state: &mut State, now: i64, customer: Customer) -> Value {
    let json = customer.json();
    state.customers.insert(customer);
    events::emit(state, now, "customer.created", json.clone());
    json
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.customers.find(call.id)?.json())
}

pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    params.only(known::CUSTOMER)?;
    if state.customers.find(call.id)?.deleted {
        return Err(ApiError::not_found(Customer::NOUN, call.id));
    }
    let settings = params.group("invoice_settings");
    let settings = settings.filter(|group| group.text("default_payment_method").is_some());
    let default = settings.map(|group| {
        payment_methods::chosen(state, group, "default_payment_method", call.id)
            .map_err(|error| error.about("invoice_settings[default_payment_method]"))
    });
    let default = default.transpose()?;
    let customer = state.customers.find_mut(call.id)?;
    let before = customer.json();
    customer.set(params);
    if let Some(default) = default {
        customer.default_payment_method = default;
    }
    let after = customer.json();
    if let Some(previous) = changed(&before, &after) {
        events::emit_change(state, call.now, "customer.updated", after.clone(), previous);
    }
    Ok(after)
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let customer = state.customers.find_mut(call.id)?;
    let last = customer.json();
    if !std::mem::replace(&mut customer.deleted, true) {
        subscriptions::cancel_all(state, call.now, call.id)?;
        events::emit(state, call.now, "customer.deleted", last);
    }
    Ok(json!({"id": call.id, "object": "customer", "deleted": true}))
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let email = call.params.filled("email");
    let created = Span::read(call.params, "created")?;
    let listed = |c: &Customer| !c.deleted && created.contains(c.created);
    let keep = |c: &Customer| listed(c) && email.is_none_or(|email| c.email.as_deref() == Some(email));
    let (rows, more) = state.customers.page(&Page::read(call.params)?, None, keep)?;
    let data = rows.into_iter().map(Customer::json).collect();
    Ok(list("/v1/customers", data, more))
}
