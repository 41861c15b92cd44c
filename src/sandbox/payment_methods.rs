//! Payment methods: Stripe's test cards, attached to a customer or to nobody yet.
//!
//! A card belongs to one customer for good: attached elsewhere it is refused, and once detached it may not be
//! used again. A name such as `pm_card_visa` stands for a fresh card each time it is attached.

use serde_json::{Value, json};

use super::customers;
use super::error::ApiError;
use super::params::Params;
use super::state::{Call, Metadata, State, new_metadata};
use super::table::{Page, Row, list};

/// What Stripe's test cards are called as payment method (`pm_card_…`), as token (`tok_…`) and by number.
#[derive(Debug, PartialEq, Eq)]
pub struct Card {
    name: &'static str,
    number: &'static str,
    brand: &'static str,
    /// Whether a customer can have it.
    attaches: bool,
    /// Whether it pays.
    pub pays: bool,
}

const VISA: Card =
    Card { name: "visa", number: "4242424242424242", brand: "visa", attaches: true, pays: true };

static CARDS: [Card; 5] = [
    VISA,
    Card { name: "mastercard", number: "5555555555554444", brand: "mastercard", ..VISA },
    Card { name: "amex", number: "378282246310005", brand: "amex", ..VISA },
    Card { name: "chargeDeclined", number: "4000000000000002", attaches: false, pays: false, ..VISA },
    Card { name: "chargeCustomerFail", number: "4000000000000341", pays: false, ..VISA },
];

impl Card {
    /// The card behind `pm_card_…`.
    fn by_alias(id: &str) -> Option<&'static Self> {
        let name = id.strip_prefix("pm_card_")?;
        CARDS.iter().find(|card| card.name == name)
    }

    fn described(params: &Params) -> Result<&'static Self, ApiError> {
        let details = params.group("card").ok_or_else(|| ApiError::parameter_missing("card"))?;
        let found = match (details.filled("token"), details.filled("number")) {
            (Some(token), _) => CARDS.iter().find(|card| token.strip_prefix("tok_") == Some(card.name)),
            (None, Some(number)) => CARDS.iter().find(|card| card.number == number),
            (None, None) => return Err(ApiError::parameter_missing("card[number]")),
        };
        found.ok_or_else(|| {
            let message = "The sandbox knows Stripe's test cards visa, mastercard, amex, chargeDeclined and \
                           chargeCustomerFail.";
            ApiError::parameter("card", "incorrect_number", message)
        })
    }
}

#[derive(Debug)]
pub struct PaymentMethod {
    pub id: String,
    pub customer: Option<String>,
    pub card: &'static Card,
    created: i64,
    metadata: Metadata,
    /// It was somebody's, and is of no more use.
    spent: bool,
}

impl Row for PaymentMethod {
    const NOUN: &'static str = "PaymentMethod";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> Option<&str> {
        self.customer.as_deref()
    }
}

impl PaymentMethod {
    pub fn json(&self) -> Value {
        let last4 = &self.card.number[self.card.number.len() - 4..];
        json!({
            "id": self.id,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details":
                {"address": null, "email": null, "name": null, "phone": null, "tax_id": null},
            "card": {
                "brand": self.card.brand,
                "checks": {"address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass"},
                "country": "US",
                "display_brand": self.card.brand,
                "exp_month": 12,
                "exp_year": 2034,
                "fingerprint": format!("sandbox{}", self.card.name),
                "funding": "credit",
                "generated_from": null,
                "last4": last4,
                "networks": {"available": [self.card.brand], "preferred": null},
                "three_d_secure_usage": {"supported": true},
                "wallet": null,
            },
            "created": self.created,
            "customer": self.customer,
            "livemode": false,
            "metadata": self.metadata,
            "type": "card",
        })
    }
}

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let kind = call.params.required("type")?;
    if kind != "card" {
        let message = format!("The sandbox knows cards only; got {kind}");
        return Err(ApiError::parameter("type", "parameter_invalid", message));
    }
    let card = Card::described(call.params)?;
    let id = insert(state, call.now, card, None, new_metadata(call.params));
    Ok(state.payment_methods.find(&id)?.json())
}

fn insert(
    state: &mut State,
    now: i64,
    card: &'static Card,
    customer: Option<String>,
    metadata: Metadata,
) -> String {
    let id = state.ids.make("pm");
    let method = PaymentMethod { id: id.clone(), customer, card, created: now, metadata, spent: false };
    state.payment_methods.insert(method);
    id
}

/// A card that works, as somebody enters it on a page: kept for a customer, or used once.
pub fn entered(state: &mut State, now: i64, customer: Option<&str>) -> String {
    let id = insert(state, now, &CARDS[0], customer.map(str::to_owned), Metadata::new());
    if let Some(method) = state.payment_methods.get_mut(&id) {
        method.spent = customer.is_none();
    }
    id
}

/// `POST /v1/payment_methods/:id/attach`.
pub fn attach(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    call.params.only(&["customer", "customer_account", "expand"])?;
    let customer = call.params.required("customer")?;
    customers::referenced(state, customer, "customer")?;
    let id = attach_to(state, call.now, call.id, customer)?;
    Ok(state.payment_methods.find(&id)?.json())
}

/// Attaches a card, by its id or by the alias of a test card; returns its id.
pub fn attach_to(state: &mut State, now: i64, id: &str, customer: &str) -> Result<String, ApiError> {
    let alias = Card::by_alias(id);
    let card = match alias {
        Some(card) => card,
        None => unattached(state.payment_methods.find(id)?, Some(customer))?,
    };
    if !card.attaches {
        return Err(ApiError::card_declined());
    }
    let owner = Some(customer.to_owned());
    if alias.is_some() {
        return Ok(insert(state, now, card, owner, Metadata::new()));
    }
    // Taken out and put back, since a table finds rows by their owner.
    if let Some(method) = state.payment_methods.remove(id) {
        state.payment_methods.insert(PaymentMethod { customer: owner, ..method });
    }
    Ok(id.to_owned())
}

/// Whether a card could be attached to somebody new.
pub fn attachable(state: &State, id: &str, param: &str) -> Result<(), ApiError> {
    let card = match Card::by_alias(id) {
        Some(card) => card,
        None => unattached(state.payment_methods.referenced(id, param)?, None)?,
    };
    if card.attaches { Ok(()) } else { Err(ApiError::card_declined()) }
}

fn unattached(method: &PaymentMethod, customer: Option<&str>) -> Result<&'static Card, ApiError> {
    if method.spent {
        let message = "This PaymentMethod was previously used without being attached to a Customer or was \
                       detached from a Customer, and may not be used again.";
        return Err(ApiError::refused(message));
    }
    if method.customer.is_some() && method.customer.as_deref() != customer {
        let message = "The payment method you provided has already been attached to a customer.";
        return Err(ApiError::refused(message));
    }
    Ok(method.card)
}

/// `POST /v1/payment_methods/:id/detach`.
pub fn detach(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    if state.payment_methods.find(call.id)?.customer.is_none() {
        let message =
            "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(ApiError::refused(message));
    }
    if let Some(method) = state.payment_methods.remove(call.id) {
        if let Some(owner) = method.customer.as_deref().and_then(|id| state.customers.get_mut(id)) {
            owner.default_payment_method.take_if(|id| id == call.id);
        }
        state.payment_methods.insert(PaymentMethod { customer: None, spent: true, ..method });
    }
    Ok(state.payment_methods.find(call.id)?.json())
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.payment_methods.find(call.id)?.json())
}

/// `GET /v1/customers/:customer/payment_methods/:id`: another customer's is not found.
pub fn retrieve_owned(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let owner = state.customers.find(call.owner)?.id.as_str();
    let method = state.payment_methods.find(call.id)?;
    if method.customer.as_deref() != Some(owner) {
        return Err(ApiError::not_found(PaymentMethod::NOUN, call.id));
    }
    Ok(method.json())
}

/// `GET /v1/payment_methods`, or a customer's own list.
pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let owner = match call.params.filled("customer") {
        Some(id) => customers::referenced(state, id, "customer")?,
        None if call.owner.is_empty() => return Err(ApiError::parameter_missing("customer")),
        None => state.customers.find(call.owner)?,
    };
    let cards = call.params.filled("type").is_none_or(|kind| kind == "card");
    let page = Page::read(call.params)?;
    let (rows, more) = state.payment_methods.page(&page, Some(&owner.id), |_| cards)?;
    let data = rows.into_iter().map(PaymentMethod::json).collect();
    Ok(list("/v1/payment_methods", data, more))
}

/// The card that a parameter names, which must be the customer's; `None` where the parameter is absent.
pub fn chosen(
    state: &State,
    params: &Params,
    name: &str,
    customer: &str,
) -> Result<Option<String>, ApiError> {
    let Some(id) = params.owned(name) else {
        return Ok(None);
    };
    if state.payment_methods.referenced(&id, name)?.customer.as_deref() != Some(customer) {
        let message = format!(
            "The customer does not have a payment method with the ID {id}. The payment method must be \
             attached to the customer."
        );
        return Err(ApiError::missing(message).about(name));
    }
    Ok(Some(id))
}
