//! Checkout sessions: an order with a page of its own (`checkout_page.rs`), open until it is paid
//! (`checkout_pay.rs`), expired by hand, or a day old.

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::{Call, Metadata, State, new_metadata};
use super::subscriptions::{self, OrderItem, order_item};
use super::table::{Page, Row, list};
use super::{customers, events, prices};

/// How long a session stays open, unless it says otherwise.
const DAY: i64 = 86_400;

#[derive(Debug)]
pub struct Session {
    pub id: String,
    pub status: SessionStatus,
    pub mode: Mode,
    pub customer: Option<String>,
    pub customer_email: Option<String>,
    pub client_reference_id: Option<String>,
    pub metadata: Metadata,
    pub subscription_metadata: Metadata,
    pub trial_days: Option<i64>,
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
pub enum SessionStatus {
    Open,
    Complete,
    Expired,
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
    json!({
        "id": session.id,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "created": session.created,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {},
        "customer": session.customer,
        "customer_creation": if session.mode == Mode::Subscription { "always" } else { "if_required" },
        "customer_details": session.customer_email.as_ref().map(|email| json!({"email": email})),
        "customer_email": session.customer_email,
        "expires_at": session.expires_at,
        "invoice": session.invoice,
        "livemode": false,
        "metadata": session.metadata,
        "mode": if session.mode == Mode::Subscription { "subscription" } else { "payment" },
        "payment_intent": session.payment_intent,
        "payment_method_types": ["card"],
        "payment_status": match session.status {
            SessionStatus::Complete if total == 0 => "no_payment_required",
            SessionStatus::Complete => "paid",
            _ => "unpaid",
        },
        "shipping_options": [],
        "status": match session.status {
            SessionStatus::Open => "open",
            SessionStatus::Complete => "complete",
            SessionStatus::Expired => "expired",
        },
        "subscription": session.subscription,
        "success_url": session.success_url,
        "ui_mode": "hosted_page",
        "url": open.then(|| format!("{}/checkout/{}", state.base_url, session.id)),
    })
}

/// What is due at once, and its currency.
pub fn total(state: &State, session: &Session) -> (i64, Option<String>) {
    let mut total = 0_i64;
    let mut currency = None;
    for line in &session.lines {
        let Some(price) = state.prices.get(&line.price) else { continue };
        currency.get_or_insert_with(|| price.currency.clone());
        let quantity = line.quantity.filter(|_| session.trial_days.is_none()).unwrap_or(0);
        let charges = super::pricing::charges(&price.scheme, quantity).unwrap_or_default();
        total = charges.iter().fold(total, |sum, charge| sum.saturating_add(charge.amount));
    }
    (total, currency)
}

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    let mode = Mode::read(params)?;
    let customer = customer(state, params)?;
    let success_url =
        url(params, "success_url")?.ok_or_else(|| ApiError::parameter_missing("success_url"))?;
    let cancel_url = url(params, "cancel_url")?;
    let empty = Params::default();
    let data = params.group("subscription_data").unwrap_or(&empty);
    subscriptions::trial_end(data, call.now)?;
    let expires_at = params.integer("expires_at")?.unwrap_or(call.now + DAY);
    let session = Session {
        lines: lines(state, call.now, params, mode)?,
        id: state.ids.make("cs_test"),
        status: SessionStatus::Open,
        mode,
        customer,
        customer_email: params.owned("customer_email"),
        client_reference_id: params.owned("client_reference_id"),
        metadata: new_metadata(params),
        subscription_metadata: new_metadata(data),
        trial_days: data.integer("trial_period_days")?,
        success_url,
        cancel_url,
        created: call.now,
        expires_at,
        subscription: None,
        invoice: None,
        payment_intent: None,
    };
    let json = session_json(state, &session);
    state.session_ends.insert((expires_at, session.id.clone()));
    state.sessions.insert(session);
    Ok(json)
}

impl Mode {
    fn read(params: &Params) -> Result<Self, ApiError> {
        match params.required("mode")? {
            "subscription" => Ok(Self::Subscription),
            "payment" => Ok(Self::Payment),
            other => {
                let message = format!("Invalid mode: must be subscription or payment; got {other}");
                Err(ApiError::parameter("mode", "parameter_invalid", message))
            }
        }
    }
}

fn customer(state: &State, params: &Params) -> Result<Option<String>, ApiError> {
    let Some(id) = params.owned("customer") else {
        return Ok(None);
    };
    customers::referenced(state, &id, "customer")?;
    if params.filled("customer_email").is_some() {
        let message = "You may only specify one of these parameters: customer, customer_email.";
        return Err(ApiError::refused(message));
    }
    Ok(Some(id))
}

/// The prices bought: existing ones, or described inline by `price_data`.
fn lines(state: &mut State, now: i64, params: &Params, mode: Mode) -> Result<Vec<OrderItem>, ApiError> {
    let mut lines = Vec::new();
    for group in params.groups("line_items") {
        let line = match group.group("price_data") {
            None => order_item(state, group, "line_items")?,
            Some(data) => OrderItem {
                price: prices::insert(state, now, data, None)?,
                quantity: Some(group.count("quantity")?.unwrap_or(1)),
                metadata: Metadata::new(),
            },
        };
        let recurs = state.prices.get(&line.price).is_some_and(|price| price.recurring.is_some());
        if recurs != (mode == Mode::Subscription) {
            let message = "You specified `payment` mode but passed a recurring price, or `subscription` \
                           mode and a one-time price.";
            return Err(ApiError::refused(message).about("line_items"));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(ApiError::parameter_missing("line_items"));
    }
    Ok(lines)
}

/// A web address that can stand in a `Location` header and in a page.
fn url(params: &Params, name: &str) -> Result<Option<String>, ApiError> {
    let Some(url) = params.owned(name) else {
        return Ok(None);
    };
    let web = url.starts_with("http://") || url.starts_with("https://");
    if !web || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ApiError::parameter(name, "url_invalid", "Not a valid URL"));
    }
    Ok(Some(url))
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(session_json(state, state.sessions.find(call.id)?))
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let (customer, subscription) = (call.params.filled("customer"), call.params.filled("subscription"));
    let keep = |row: &Session| {
        customer.is_none_or(|id| row.customer.as_deref() == Some(id))
            && subscription.is_none_or(|id| row.subscription.as_deref() == Some(id))
    };
    let (rows, more) = state.sessions.page(&Page::read(call.params)?, None, keep)?;
    let data = rows.into_iter().map(|row| session_json(state, row)).collect();
    Ok(list("/v1/checkout/sessions", data, more))
}

pub fn line_items(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let session = state.sessions.find(call.id)?;
    let line = |(index, line): (usize, &OrderItem)| {
        let price = state.prices.get(&line.price).map(prices::Price::json);
        let mut json = json!({"id": format!("li_{index}"), "object": "item", "price": price});
        json["quantity"] = json!(line.quantity);
        json
    };
    let data = session.lines.iter().enumerate().map(line).collect();
    let url = format!("/v1/checkout/sessions/{}/line_items", session.id);
    Ok(list(&url, data, false))
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

/// Expires the open sessions whose time has come.
pub fn expire_old(state: &mut State, now: i64) {
    while state.session_ends.first().is_some_and(|(end, _)| *end <= now) {
        let Some((_, id)) = state.session_ends.pop_first() else {
            return;
        };
        if state.sessions.get(&id).is_some_and(|session| session.status == SessionStatus::Open)
            && let Err(error) = close(state, now, &id)
        {
            tracing::warn!(session = id, %error, "the sandbox could not expire a checkout session");
        }
    }
}
