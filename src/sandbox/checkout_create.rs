//! What a checkout session may be asked for.

use serde_json::Value;

use super::alarms::Alarm;
use super::checkout::{Mode, Session, SessionStatus, Trial, session_json};
use super::error::ApiError;
use super::params::Params;
use super::state::{Call, Metadata, State, new_metadata};
use super::subscriptions::{self, OrderItem, order_item};
use super::{customers, known, prices};

/// How long a session stays open, unless it says otherwise.
const DAY: i64 = 86_400;
/// The least time that it stays open.
const HALF_AN_HOUR: i64 = 1_800;
/// A trial named by its end lasts so long at least.
const SHORTEST_TRIAL: i64 = 2 * DAY;
/// Of a `client_reference_id`.
const MAX_REFERENCE: usize = 200;

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let params = call.params;
    params.only(known::CHECKOUT)?;
    let mode = Mode::read(params)?;
    let customer = customer(state, params, mode)?;
    let success_url =
        url(params, "success_url")?.ok_or_else(|| ApiError::parameter_missing("success_url"))?;
    let cancel_url = url(params, "cancel_url")?;
    let (empty, now) = (Params::default(), call.now);
    let subscription = data(params, "subscription_data", mode == Mode::Subscription)?.unwrap_or(&empty);
    subscription.only(known::CHECKOUT_SUBSCRIPTION)?;
    let payment = data(params, "payment_intent_data", mode == Mode::Payment)?.unwrap_or(&empty);
    payment.only(known::CHECKOUT_PAYMENT)?;
    let keeps_card = payment.filled("setup_future_usage").is_some();
    let asked_for_customer = params.filled("customer_creation") == Some("always");
    let expires_at = expiry(params, now)?;
    let session = Session {
        client_reference_id: reference(params)?,
        trial: trial(subscription, now)?,
        allows_promotion_codes: promotion_codes(params)?,
        lines: lines(state, now, params, mode)?,
        id: state.ids.make("cs_test"),
        status: SessionStatus::Open,
        mode,
        makes_customer: mode == Mode::Subscription || keeps_card || asked_for_customer,
        customer,
        customer_email: params.owned("customer_email"),
        metadata: new_metadata(params),
        subscription_metadata: new_metadata(subscription),
        payment_metadata: new_metadata(payment),
        payment_description: payment.owned("description"),
        keeps_card,
        locale: params.owned("locale"),
        success_url,
        cancel_url,
        created: now,
        expires_at,
        subscription: None,
        invoice: None,
        payment_intent: None,
    };
    let json = session_json(state, &session);
    state.alarms.insert((expires_at, Alarm::SessionExpires(session.id.clone())));
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

fn customer(state: &State, params: &Params, mode: Mode) -> Result<Option<String>, ApiError> {
    let given = |name: &str| params.get(name).is_some();
    if given("customer_creation") && mode != Mode::Payment {
        let message = "`customer_creation` can only be used in `payment` mode.";
        return Err(ApiError::refused(message).about("customer_creation"));
    }
    let Some(id) = params.owned("customer") else {
        if given("customer_update") {
            let message = "`customer_update` can only be used with `customer`.";
            return Err(ApiError::refused(message).about("customer_update"));
        }
        return Ok(None);
    };
    customers::referenced(state, &id, "customer")?;
    for other in ["customer_email", "customer_creation"] {
        if given(other) {
            let message = format!("You may only specify one of these parameters: customer, {other}.");
            return Err(ApiError::refused(message));
        }
    }
    Ok(Some(id))
}

/// What belongs to one mode alone.
fn data<'a>(params: &'a Params, name: &str, fits: bool) -> Result<Option<&'a Params>, ApiError> {
    let data = params.group(name);
    if data.is_some() && !fits {
        let message = format!("You can not pass `{name}` in this mode.");
        return Err(ApiError::refused(message).about(name));
    }
    Ok(data)
}

fn reference(params: &Params) -> Result<Option<String>, ApiError> {
    let reference = params.owned("client_reference_id");
    if reference.as_ref().is_some_and(|text| text.chars().count() > MAX_REFERENCE) {
        let message = format!("Invalid string: must be at most {MAX_REFERENCE} characters.");
        return Err(ApiError::parameter("client_reference_id", "parameter_invalid", message));
    }
    Ok(reference)
}

fn expiry(params: &Params, now: i64) -> Result<i64, ApiError> {
    let Some(at) = params.integer("expires_at")? else {
        return Ok(now + DAY);
    };
    if !(now + HALF_AN_HOUR..=now + DAY).contains(&at) {
        let message = "The `expires_at` timestamp must be at least 30 minutes and less than 24 hours from \
                       Checkout Session creation.";
        return Err(ApiError::parameter("expires_at", "parameter_invalid", message));
    }
    Ok(at)
}

fn trial(data: &Params, now: i64) -> Result<Option<Trial>, ApiError> {
    if let Some(days) = data.integer("trial_period_days")? {
        subscriptions::trial_end(data, now)?;
        return Ok(Some(Trial::Days(days)));
    }
    let Some(end) = subscriptions::trial_end(data, now)? else {
        return Ok(None);
    };
    if end < now + SHORTEST_TRIAL {
        let message = "The `trial_end` date has to be at least 2 days in the future.";
        return Err(ApiError::parameter("subscription_data[trial_end]", "parameter_invalid", message));
    }
    Ok(Some(Trial::Until(end)))
}

fn promotion_codes(params: &Params) -> Result<bool, ApiError> {
    let allowed = params.boolean("allow_promotion_codes")?;
    if allowed.is_some() && params.get("discounts").is_some() {
        let message = "You may only specify one of these parameters: allow_promotion_codes, discounts.";
        return Err(ApiError::refused(message));
    }
    Ok(allowed.unwrap_or(false))
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
    one_currency(state, &lines)?;
    Ok(lines)
}

fn one_currency(state: &State, lines: &[OrderItem]) -> Result<(), ApiError> {
    let mut currencies = lines.iter().filter_map(|line| Some(&state.prices.get(&line.price)?.currency));
    let first = currencies.next();
    if currencies.any(|currency| Some(currency) != first) {
        let message = "All prices of a Checkout Session must have the same currency.";
        return Err(ApiError::refused(message).about("line_items"));
    }
    Ok(())
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
