//! Payment intents: one for each payment of an invoice or of a one-time order, paid, declined or on its way.
//!
//! They are made by the sandbox, never by a request: who is to pay goes to a checkout page or subscribes.

use serde_json::{Value, json};

use super::error::ApiError;
use super::events;
use super::state::{Call, Metadata, State};
use super::table::{Page, Row, list};

#[derive(Debug, Clone)]
pub struct PaymentIntent {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub payment_method: Option<String>,
    pub progress: Progress,
    pub created: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Succeeded,
    /// The bank takes its time.
    Processing,
    /// Declined: another card may be tried.
    Declined,
}

impl Row for PaymentIntent {
    const NOUN: &'static str = "payment_intent";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> Option<&str> {
        self.customer.as_deref()
    }
}

impl PaymentIntent {
    pub fn json(&self) -> Value {
        let paid = self.progress == Progress::Succeeded;
        let declined = self.progress == Progress::Declined;
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": if paid { self.amount } else { 0 },
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": null,
            "canceled_at": null,
            "cancellation_reason": null,
            "capture_method": "automatic",
            "client_secret": format!("{}_secret_sandbox", self.id),
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "last_payment_error": declined.then(|| self.decline()),
            "latest_charge": (self.progress != Progress::Processing).then(|| self.id.replacen("pi_", "ch_", 1)),
            "livemode": false,
            "metadata": self.metadata,
            "next_action": null,
            "on_behalf_of": null,
            "payment_method": if declined { &None } else { &self.payment_method },
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": null,
            "review": null,
            "setup_future_usage": null,
            "shipping": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": null,
            "status": match self.progress {
                Progress::Succeeded => "succeeded",
                Progress::Processing => "processing",
                Progress::Declined => "requires_payment_method",
            },
            "transfer_data": null,
            "transfer_group": null,
        })
    }

    fn decline(&self) -> Value {
        let mut error = ApiError::card_declined().json()["error"].take();
        error["payment_method"] = json!(self.payment_method);
        error
    }
}

/// Tells how a payment stands, if there is anything to tell.
pub fn announce(state: &mut State, now: i64, id: &str) {
    let Some(intent) = state.payment_intents.get(id) else {
        return;
    };
    let kind = match intent.progress {
        Progress::Succeeded => "payment_intent.succeeded",
        Progress::Declined => "payment_intent.payment_failed",
        Progress::Processing => "payment_intent.processing",
    };
    let object = intent.json();
    events::emit(state, now, kind, object);
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.payment_intents.find(call.id)?.json())
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let customer = call.params.filled("customer");
    let (rows, more) = state.payment_intents.page(&Page::read(call.params)?, customer, |_| true)?;
    let data = rows.into_iter().map(PaymentIntent::json).collect();
    Ok(list("/v1/payment_intents", data, more))
}
