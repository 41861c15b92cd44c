//! Customers. A deleted one stays readable as `{"deleted": true}`; its subscriptions end.

use serde_json::{Value, json};

use super::error::ApiError;
use super::events::{self, changed};
use super::params::Params;
use super::state::{Call, Metadata, State, merge_metadata, new_metadata};
use super::subscriptions;
use super::table::{Page, Row, list};

#[derive(Debug, Clone)]
pub struct Customer {
    pub id: String,
    pub created: i64,
    pub name: Option<String>,
    pub email: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub deleted: bool,
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
                "default_payment_method": null,
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

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let id = insert(state, call.now, call.params);
    Ok(state.customers.find(&id)?.json())
}

/// Adds a customer and returns its id.
pub fn insert(state: &mut State, now: i64, params: &Params) -> String {
    let mut customer = Customer {
        id: state.ids.make("cus"),
        created: now,
        name: None,
        email: None,
        description: None,
        metadata: new_metadata(params),
        deleted: false,
    };
    customer.set(params);
    let (id, json) = (customer.id.clone(), customer.json());
    state.customers.insert(customer);
    events::emit(state, now, "customer.created", json);
    id
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.customers.find(call.id)?.json())
}

pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let customer = state.customers.find_mut(call.id)?;
    if customer.deleted {
        return Err(ApiError::not_found(Customer::NOUN, call.id));
    }
    let before = customer.json();
    customer.set(call.params);
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
    let keep = |c: &Customer| !c.deleted && email.is_none_or(|email| c.email.as_deref() == Some(email));
    let (rows, more) = state.customers.page(&Page::read(call.params)?, None, keep)?;
    let data = rows.into_iter().map(Customer::json).collect();
    Ok(list("/v1/customers", data, more))
}

/// A customer pays by a card that always works, or by nothing.
pub fn payment_methods(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let id = match call.params.filled("customer") {
        Some(id) => referenced(state, id, "customer")?.id.clone(),
        None => state.customers.find(call.id)?.id.clone(),
    };
    let created = match state.invoices.owned_by(&id).next() {
        None => return Ok(list("/v1/payment_methods", Vec::new(), false)),
        Some(first) => first.created,
    };
    let card = json!({
        "id": format!("pm_{}", id.trim_start_matches("cus_")),
        "object": "payment_method",
        "billing_details": {"address": null, "email": null, "name": null, "phone": null},
        "card": {"brand": "visa", "exp_month": 12, "exp_year": 2034, "funding": "credit", "last4": "4242"},
        "created": created,
        "customer": id,
        "livemode": false,
        "metadata": {},
        "type": "card",
    });
    Ok(list("/v1/payment_methods", vec![card], false))
}
