//! Checkout sessions: an order (`checkout_create.rs`) with a page of its own (`checkout_page.rs`), open until it
//! is paid (`checkout_pay.rs`), expired by hand, or a day old.

use serde_json::{Value, json};

use super::error::ApiError;
use super::payment_intents::Progress;
use super::span::Span;
use super::state::{Call, Metadata, State};
use super::subscriptions::OrderItem;
use super::table::{Page, Row, list};
use super::{events, prices};

#[derive(Debug)]
pub struct Session {
    pub id: String,
    pub status: SessionStatus,
    pub mode: Mode,
    pub customer: Option<String>,
    pub customer_email: Option<String>,
    /// Whether the buyer becomes a customer. Who subscribes always does.
    pub makes_customer: bool,
    pub client_reference_id: Option<String>,
    pub metadata: Metadata,
    pub subscription_metadata: Metadata,
    pub trial: Option<Trial>,
    pub payment_metadata: Metadata,
    pub payment_description: Option<String>,
    /// Whether the buyer's card is kept for later.
    pub keeps_card: bool,
    pub allows_promotion_codes: bool,
    pub locale: Option<String>,
    pub lines: Vec<OrderItem>,
    pub success_url: String,
    pub cancel_url: Option<String>,
    pub created: i64,
    pub expires_at: i64,
    pub subscription: Option<String>,
    pub invoice: Option<String>,
    pub payment_intent: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// From the moment of the payment.
    Days(i64),
    Until(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    Open,
    Complete,
    Expired,
}

impl SessionStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Subscription,
    Payment,
}

impl Row for Session {
    const NOUN: &'static str = "checkout.session";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> Option<&str> {
        self.customer.as_deref()
    }
}

pub fn session_json(state: &State, session: &Session) -> Value {
    let (total, currency) = total(state, session);
    let open = session.status == SessionStatus::Open;
    let subscribes = session.mode == Mode::Subscription;
    let mut json = json!({
        "id": session.id,
        "object": "checkout.session",
        "allow_promotion_codes": session.allows_promotion_codes.then_some(true),
        "amount_subtotal": total,
        "amount_total": total,
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "created": session.created,
        "currency": currency,
        "customer": session.customer,
        "customer_creation": match (subscribes, session.makes_customer) {
            (true, _) => None,
            (false, true) => Some("always"),
            (false, false) => Some("if_required"),
        },
        "customer_details": session.customer_email.as_ref().map(|email| json!({"email": email})),
        "customer_email": session.customer_email,
        "expires_at": session.expires_at,
        "invoice": session.invoice,
        "locale": session.locale,
        "metadata": session.metadata,
        "mode": if subscribes { "subscription" } else { "payment" },
        "payment_intent": session.payment_intent,
        "payment_method_collection": if subscribes { "always" } else { "if_required" },
        "payment_status": payment_status(state, session, total),
        "status": session.status.name(),
        "subscription": session.subscription,
        "success_url": session.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "url": open.then(|| format!("{}/checkout/{}", state.base_url, session.id)),
    });
    if let (Value::Object(fields), Value::Object(constant)) = (&mut json, constant_fields()) {
        fields.extend(constant);
    }
    json
}

fn payment_status(state: &State, session: &Session, total: i64) -> &'static str {
    let intent = session.payment_intent.as_deref().and_then(|id| state.payment_intents.get(id));
    match session.status {
        SessionStatus::Complete if total == 0 => "no_payment_required",
        SessionStatus::Complete if intent.is_none_or(|intent| intent.progress == Progress::Succeeded) => {
            "paid"
        }
        _ => "unpaid",
    }
}

/// What Stripe's clients expect and the sandbox never varies.
fn constant_fields() -> Value {
    json!({
        "adaptive_pricing": null,
        "after_expiration": null,
        "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
        "billing_address_collection": null,
        "client_secret": null,
        "consent": null,
        "consent_collection": null,
        "currency_conversion": null,
        "custom_fields": [],
        "custom_text": {},
        "discounts": [],
        "livemode": false,
        "payment_link": null,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "phone_number_collection": {"enabled": false},
        "recovered_from": null,
        "setup_intent": null,
        "shipping_address_collection": null,
        "shipping_cost": null,
        "shipping_options": [],
        "submit_type": null,
        "ui_mode": "hosted_page",
    })
}

/// What is due at once, and its currency.
pub fn total(state: &State, session: &Session) -> (i64, Option<String>) {
    let mut total = 0_i64;
    let mut currency = None;
    for line in &session.lines {
        let Some(price) = state.prices.get(&line.price) else { continue };
        currency.get_or_insert_with(|| price.currency.clone());
        let quantity = line.quantity.filter(|_| session.trial.is_none()).unwrap_or(0);
        let charges = super::pricing::charges(&price.scheme, quantity).unwrap_or_default();
        total = charges.iter().fold(total, |sum, charge| sum.saturating_add(charge.amount));
    }
    (total, currency)
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(session_json(state, state.sessions.find(call.id)?))
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let (customer, subscription) = (call.params.filled("customer"), call.params.filled("subscription"));
    let created = Span::read(call.params, "created")?;
    let intent = call.params.filled("payment_intent");
    let status = call.params.filled("status");
    let keep = |row: &Session| {
        created.contains(row.created)
            && intent.is_none_or(|id| row.payment_intent.as_deref() == Some(id))
            && status.is_none_or(|status| row.status.name() == status)
            && customer.is_none_or(|id| row.customer.as_deref() == Some(id))
            && subscription.is_none_or(|id| row.subscription.as_deref() == Some(id))
    };
    let (rows, more) = state.sessions.page(&Page::read(call.params)?, None, keep)?;
    let data = rows.into_iter().map(|row| session_json(state, row)).collect();
    Ok(list("/v1/checkout/sessions", data, more))
}

pub fn line_items(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(lines_json(state, state.sessions.find(call.id)?))
}

/// What is bought; inside a session only if that is expanded.
pub fn lines_json(state: &State, session: &Session) -> Value {
    let line = |(index, line): (usize, &OrderItem)| {
        let price = state.prices.get(&line.price).map(prices::Price::json);
        let mut json = json!({"id": format!("li_{index}"), "object": "item", "price": price});
        json["quantity"] = json!(line.quantity);
        json
    };
    let data = session.lines.iter().enumerate().map(line).collect();
    let url = format!("/v1/checkout/sessions/{}/line_items", session.id);
    list(&url, data, false)
}

pub fn expire(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    if state.sessions.find(call.id)?.status != SessionStatus::Open {
        let message = "Only Checkout Sessions with a status in [\"open\"] can be expired.";
        return Err(ApiError::refused(message));
    }
    close(state, call.now, call.id)
}

fn close(state: &mut State, now: i64, id: &str) -> Result<Value, ApiError> {
    state.sessions.find_mut(id)?.status = SessionStatus::Expired;
    let json = session_json(state, state.sessions.find(id)?);
    events::emit(state, now, "checkout.session.expired", json.clone());
    Ok(json)
}

/// Expires a session whose time has come.
pub fn expire_if_open(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    if state.sessions.find(id)?.status == SessionStatus::Open {
        close(state, now, id)?;
    }
    Ok(())
}
