//! Taking money: which card pays, whether it does, and the payment intent that remembers it.

use super::error::ApiError;
use super::payment_intents::{PaymentIntent, Progress};
use super::payment_methods;
use super::state::{Metadata, State};

/// What is to be paid. Nothing is taken where the amount is zero.
#[derive(Debug, Clone)]
pub struct Bill {
    pub amount: i64,
    pub currency: String,
    /// `None`: a guest, who pays on a page.
    pub customer: Option<String>,
    /// The card chosen for it, before the customer's default.
    pub card: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// The payment that failed before, which is taken up again.
    pub earlier: Option<String>,
}

/// How an attempt to take money went.
#[derive(Debug)]
pub struct Attempt {
    /// The payment intent, where there was anything to pay and a card to try.
    pub intent: Option<String>,
    pub result: Result<(), ApiError>,
}

/// Whether a payment would succeed now; an error says why not.
pub fn check(state: &State, amount: i64, customer: &str, card: Option<&str>) -> Result<(), ApiError> {
    if amount <= 0 {
        return Ok(());
    }
    let card = pick(state, customer, card)?;
    if works(state, Some(customer), card.as_deref()) { Ok(()) } else { Err(ApiError::card_declined()) }
}

/// Takes the money, or tries to.
pub fn take(state: &mut State, now: i64, bill: Bill) -> Attempt {
    if bill.amount <= 0 {
        return Attempt { intent: None, result: Ok(()) };
    }
    let card = match &bill.customer {
        None => None,
        Some(customer) => match pick(state, customer, bill.card.as_deref()) {
            Ok(Some(card)) => Some(card),
            Ok(None) => Some(supply(state, now, customer)),
            Err(error) => return Attempt { intent: bill.earlier, result: Err(error) },
        },
    };
    let paid = works(state, bill.customer.as_deref(), card.as_deref());
    let progress = if paid { Progress::Succeeded } else { Progress::Declined };
    let intent = remember(state, now, Bill { card, ..bill }, progress);
    let result = if paid { Ok(()) } else { Err(ApiError::card_declined()) };
    Attempt { intent: Some(intent), result }
}

/// Keeps a payment whose fate is known.
pub fn remember(state: &mut State, now: i64, bill: Bill, progress: Progress) -> String {
    // Taken out and put back, since a table finds rows by their owner.
    let earlier = bill.earlier.and_then(|id| state.payment_intents.remove(&id));
    let (id, created) = match earlier {
        Some(earlier) => (earlier.id, earlier.created),
        None => (state.ids.make("pi"), now),
    };
    state.payment_intents.insert(PaymentIntent {
        id: id.clone(),
        amount: bill.amount,
        currency: bill.currency,
        customer: bill.customer,
        description: bill.description,
        metadata: bill.metadata,
        payment_method: bill.card,
        progress,
        created,
    });
    id
}

/// The chosen card, or the customer's default. `Ok(None)`: a customer who has no card is given one.
fn pick(state: &State, customer: &str, chosen: Option<&str>) -> Result<Option<String>, ApiError> {
    let default = state.customers.get(customer).and_then(|row| row.default_payment_method.as_deref());
    let attached = |id: &&str| {
        let method = state.payment_methods.get(id);
        method.is_some_and(|method| method.customer.as_deref() == Some(customer))
    };
    if let Some(card) = chosen.filter(attached).or(default.filter(attached)) {
        return Ok(Some(card.to_owned()));
    }
    if state.payment_methods.owned_by(customer).next().is_none() {
        return Ok(None);
    }
    Err(ApiError::missing(
        "This customer has no attached payment source or default payment method. Please consider adding a \
         default payment method. For more information, visit \
         https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.",
    ))
}

/// A card of the sandbox's own, as this customer's default.
fn supply(state: &mut State, now: i64, customer: &str) -> String {
    let card = payment_methods::entered(state, now, Some(customer));
    if let Some(row) = state.customers.get_mut(customer) {
        row.default_payment_method = Some(card.clone());
    }
    card
}

fn works(state: &State, customer: Option<&str>, card: Option<&str>) -> bool {
    let declines = customer.and_then(|id| state.customers.get(id)).is_some_and(|row| row.declines);
    let pays = card.and_then(|id| state.payment_methods.get(id)).is_none_or(|method| method.card.pays);
    pays && !declines
}
