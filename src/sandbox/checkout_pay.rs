//! Paying a checkout session: makes what is missing, the customer, the subscription or the payment, and
//! the events that follow.

use super::checkout::{Mode, SessionStatus, session_json};
use super::error::ApiError;
use super::params::Params;
use super::state::State;
use super::subscriptions::{self, Order};
use super::{customers, events};

const DAY: i64 = 86_400;

/// The "Pay" button: returns the address to go to. Paying twice pays once.
pub fn pay(state: &mut State, now: i64, id: &str) -> Result<String, ApiError> {
    let session = state.sessions.find(id)?;
    let back = session.success_url.replace("{CHECKOUT_SESSION_ID}", id);
    match session.status {
        SessionStatus::Complete => return Ok(back),
        SessionStatus::Open if session.expires_at > now => {}
        _ => return Err(ApiError::refused("This Checkout Session has expired.")),
    }
    let customer = buyer(state, now, id)?;
    let mode = state.sessions.find(id)?.mode;
    let (mut subscription, mut invoice, mut payment) = (None, None, None);
    match mode {
        Mode::Subscription => (subscription, invoice) = subscribe(state, now, id, &customer)?,
        // No invoice, since Stripe makes none here unless asked for one.
        Mode::Payment => payment = Some(state.ids.make("pi")),
    }
    let session = state.sessions.find_mut(id)?;
    session.status = SessionStatus::Complete;
    session.customer = Some(customer);
    session.subscription = subscription;
    session.invoice = invoice;
    session.payment_intent = payment;
    let json = session_json(state, state.sessions.find(id)?);
    events::emit(state, now, "checkout.session.completed", json);
    Ok(back)
}

/// The session's customer, made if there is none.
fn buyer(state: &mut State, now: i64, id: &str) -> Result<String, ApiError> {
    let session = state.sessions.find(id)?;
    if let Some(customer) = &session.customer {
        return Ok(customers::referenced(state, customer, "customer")?.id.clone());
    }
    let email = session.customer_email.clone().unwrap_or_default();
    let params = Params::of(&[("email", &email)])?;
    Ok(customers::insert(state, now, &params))
}

fn subscribe(
    state: &mut State,
    now: i64,
    id: &str,
    customer: &str,
) -> Result<(Option<String>, Option<String>), ApiError> {
    let session = state.sessions.find(id)?;
    let order = Order {
        customer: customer.to_owned(),
        items: session.lines.clone(),
        metadata: session.subscription_metadata.clone(),
        trial_end: session.trial_days.map(|days| now + days * DAY),
        ..Order::default()
    };
    let subscription = subscriptions::open(state, now, order)?;
    let invoice = state.subscriptions.find(&subscription)?.latest_invoice.clone();
    Ok((Some(subscription), invoice))
}
