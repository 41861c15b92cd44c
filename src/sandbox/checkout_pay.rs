//! Paying a checkout session: makes what is missing, the customer, the subscription or the payment, and
//! the events that follow.

use super::checkout::{Mode, Session, SessionStatus, Trial, session_json, total};
use super::error::ApiError;
use super::params::Params;
use super::payment_intents::{self, Progress};
use super::payments::{self, Bill};
use super::state::State;
use super::subscriptions::{self, Order};
use super::{customers, events, payment_methods};

const DAY: i64 = 86_400;

/// What the buyer's bank says, and in which order the news go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payment {
    pub bank: Bank,
    /// `checkout.session.completed` is made before `payment_intent.succeeded`.
    pub session_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bank {
    #[default]
    Pays,
    Declines,
    /// It will say so later; one-time payments only.
    Waits,
}

/// The "Pay" button: returns the address to go to. Paying twice pays once.
pub fn pay(state: &mut State, now: i64, id: &str, payment: Payment) -> Result<String, ApiError> {
    let session = state.sessions.find(id)?;
    let back = session.success_url.replace("{CHECKOUT_SESSION_ID}", id);
    match session.status {
        SessionStatus::Complete => return Ok(back),
        SessionStatus::Open if session.expires_at > now => {}
        _ => return Err(ApiError::refused("This Checkout Session has expired.")),
    }
    let buyer = session.customer.as_deref().and_then(|customer| state.customers.get(customer));
    if payment.bank == Bank::Declines || buyer.is_some_and(|customer| customer.declines) {
        decline(state, now, id)?;
        return Err(ApiError::card_declined());
    }
    match session.mode {
        Mode::Subscription => subscribe(state, now, id, payment.bank)?,
        Mode::Payment => buy(state, now, id, payment.bank)?,
    }
    let intent = state.sessions.find(id)?.payment_intent.clone();
    let tell_of_payment = |state: &mut State| {
        if let Some(intent) = &intent {
            payment_intents::announce(state, now, intent);
        }
    };
    if payment.session_first {
        complete(state, now, id, "checkout.session.completed")?;
        tell_of_payment(state);
    } else {
        tell_of_payment(state);
        complete(state, now, id, "checkout.session.completed")?;
    }
    Ok(back)
}

fn complete(state: &mut State, now: i64, id: &str, kind: &str) -> Result<(), ApiError> {
    state.sessions.find_mut(id)?.status = SessionStatus::Complete;
    let json = session_json(state, state.sessions.find(id)?);
    events::emit(state, now, kind, json);
    Ok(())
}

/// The session stays open, for another card.
fn decline(state: &mut State, now: i64, id: &str) -> Result<(), ApiError> {
    let intent = charge(state, now, id, None, Progress::Declined)?;
    if let Some(intent) = &intent {
        payment_intents::announce(state, now, intent);
    }
    let session = state.sessions.find_mut(id)?;
    if session.mode == Mode::Payment {
        session.payment_intent = intent;
    }
    Ok(())
}

/// The payment of what is due; one that failed before is taken up again.
fn charge(
    state: &mut State,
    now: i64,
    id: &str,
    card: Option<String>,
    progress: Progress,
) -> Result<Option<String>, ApiError> {
    let session = state.sessions.find(id)?;
    let (amount, currency) = total(state, session);
    if amount == 0 {
        return Ok(None);
    }
    let bill = Bill {
        amount,
        currency: currency.unwrap_or_default(),
        customer: session.customer.clone(),
        card,
        description: session.payment_description.clone(),
        metadata: session.payment_metadata.clone(),
        earlier: session.payment_intent.clone(),
    };
    Ok(Some(payments::remember(state, now, bill, progress)))
}

fn buy(state: &mut State, now: i64, id: &str, bank: Bank) -> Result<(), ApiError> {
    let customer = buyer(state, now, id)?;
    let keeps_card = state.sessions.find(id)?.keeps_card;
    let owner = customer.filter(|_| keeps_card);
    let card = payment_methods::entered(state, now, owner.as_deref());
    let progress = if bank == Bank::Waits { Progress::Processing } else { Progress::Succeeded };
    let intent = charge(state, now, id, Some(card), progress)?;
    state.sessions.find_mut(id)?.payment_intent = intent;
    Ok(())
}

fn subscribe(state: &mut State, now: i64, id: &str, bank: Bank) -> Result<(), ApiError> {
    if bank == Bank::Waits {
        return Err(ApiError::refused("The sandbox delays one-time payments only."));
    }
    let Some(customer) = buyer(state, now, id)? else {
        return Err(ApiError::refused("Who subscribes is a customer."));
    };
    let card = payment_methods::entered(state, now, Some(&customer));
    let session = state.sessions.find(id)?;
    let order = Order {
        customer,
        items: session.lines.clone(),
        metadata: session.subscription_metadata.clone(),
        trial_end: session.trial.map(|trial| match trial {
            Trial::Days(days) => now + days * DAY,
            Trial::Until(end) => end,
        }),
        card: Some(card),
        ..Order::default()
    };
    let subscription = subscriptions::open(state, now, order)?;
    let invoice = state.subscriptions.find(&subscription)?.latest_invoice.clone();
    let session = state.sessions.find_mut(id)?;
    (session.subscription, session.invoice) = (Some(subscription), invoice);
    Ok(())
}

/// The session's customer, made if there is none and one is needed.
fn buyer(state: &mut State, now: i64, id: &str) -> Result<Option<String>, ApiError> {
    let session = state.sessions.find(id)?;
    if let Some(customer) = &session.customer {
        return Ok(Some(customers::referenced(state, customer, "customer")?.id.clone()));
    }
    if !session.makes_customer {
        return Ok(None);
    }
    let email = session.customer_email.clone().unwrap_or_default();
    let params = Params::of(&[("email", &email)])?;
    let customer = customers::insert(state, now, &params);
    state.sessions.find_mut(id)?.customer = Some(customer.clone());
    Ok(Some(customer))
}

/// What the bank says in the end of a payment that was on its way.
pub fn settle(state: &mut State, now: i64, intent: &str, paid: bool) -> Result<(), ApiError> {
    let row = state.payment_intents.find_mut(intent)?;
    if row.progress != Progress::Processing {
        return Err(ApiError::refused("This PaymentIntent is not processing."));
    }
    row.progress = if paid { Progress::Succeeded } else { Progress::Declined };
    payment_intents::announce(state, now, intent);
    let paid_by_it = |session: &&Session| session.payment_intent.as_deref() == Some(intent);
    let Some(session) = state.sessions.iter().find(paid_by_it).map(|session| session.id.clone()) else {
        return Ok(());
    };
    let kind = if paid {
        "checkout.session.async_payment_succeeded"
    } else {
        "checkout.session.async_payment_failed"
    };
    complete(state, now, &session, kind)
}
