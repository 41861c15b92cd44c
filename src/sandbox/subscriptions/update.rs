//! Changing a running subscription.
//!
//! As at Stripe, an item named by its id is replaced, one without an id is added beside the others.

use serde_json::Value;

use super::create::{billing_mode, cadence, cancel_at, order_item, refuse_duplicates, refuse_mixed};
use super::due::tell_of_trial;
use super::payment::PaymentBehavior;
use super::proration::Proration;
use super::renewal::{announce, attach_invoice, close_periods, renewal, restarted};
use super::{Item, OrderItem, Pause, Status, Subscription, json, reschedule};
use crate::sandbox::error::ApiError;
use crate::sandbox::events;
use crate::sandbox::invoices::Reason;
use crate::sandbox::known;
use crate::sandbox::params::{Param, Params};
use crate::sandbox::payment_methods;
use crate::sandbox::period::{Period, containing};
use crate::sandbox::state::{Call, State, merge_metadata};

pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let (now, id, params) = (call.now, call.id, call.params);
    params.only(known::SUBSCRIPTION_UPDATE)?;
    let (behavior, proration) = (PaymentBehavior::read(params)?, Proration::read(params)?);
    let old = state.subscriptions.find(id)?.clone();
    let new = changed(state, call, &old)?;
    let ends_trial = params.filled("trial_end") == Some("now") && old.status == Status::Trialing;
    let restarts = ends_trial
        || params.filled("billing_cycle_anchor") == Some("now")
        || cadences_changed(state, &old, &new)?;
    let restarts = restarts && old.status.cycles();
    let bills = if restarts {
        renewal(state, &restarted(&new, now), now)?.bills
    } else {
        proration.bills(&old, &new, now)
    };
    behavior.admit(state, now, &new, &bills)?;

    let before = json(state, &old);
    if let (true, Some(trial)) = (ends_trial, old.trial) {
        tell_of_trial(state, now, id, trial.end)?;
    }
    *state.subscriptions.find_mut(id)? = new;
    reschedule(state, id);
    if restarts {
        close_periods(state, now, id, behavior.collect())?;
    } else {
        attach_invoice(state, now, id, &bills, Reason::Update, behavior.collect(), |state| {
            announce(state, now, id, &before);
        })?;
    }
    Ok(json(state, state.subscriptions.find(id)?))
}

/// The subscription as a request wants it. Nothing has changed yet.
fn changed(state: &mut State, call: &Call<'_>, old: &Subscription) -> Result<Subscription, ApiError> {
    let (now, params) = (call.now, call.params);
    let mut new = old.clone();
    merge_metadata(&mut new.metadata, params);
    if old.status.ended() {
        refuse_changes_after_the_end(params)?;
    }
    change_items(state, &mut new, params, now)?;
    change_cancellation(&mut new, params, now)?;
    change_pause(&mut new, params)?;
    if params.text("default_payment_method").is_some() {
        new.default_payment_method =
            payment_methods::chosen(state, params, "default_payment_method", &new.customer)?;
    }
    Ok(new)
}

fn refuse_changes_after_the_end(params: &Params) -> Result<(), ApiError> {
    params.only(&["metadata", "cancellation_details", "expand"]).map_err(|_| {
        let message = "A canceled subscription can only update its cancellation_details and metadata.";
        ApiError::refused(message)
    })
}

fn change_items(
    state: &mut State,
    new: &mut Subscription,
    params: &Params,
    now: i64,
) -> Result<(), ApiError> {
    for group in params.groups("items") {
        group.only(known::SUBSCRIPTION_ITEM)?;
        match group.filled("id") {
            Some(id) => change_item(state, new, id, group)?,
            None => add_item(state, new, group, now)?,
        }
    }
    if new.items.is_empty() {
        return Err(ApiError::refused("A subscription must have at least one active plan.").about("items"));
    }
    refuse_duplicates(&new.items)?;
    refuse_mixed(state, new.is_classic, &new.items)
}

fn change_item(state: &State, new: &mut Subscription, id: &str, group: &Params) -> Result<(), ApiError> {
    let at = new.items.iter().position(|item| item.id == id);
    let at = at.ok_or_else(|| ApiError::no_such_reference("subscription_item", id, "items[id]"))?;
    if group.boolean("deleted")? == Some(true) {
        new.items.remove(at);
        return Ok(());
    }
    let item = &mut new.items[at];
    if group.filled("price").is_some() {
        let ordered = in_currency(state, order_item(state, group, "items")?, &new.currency)?;
        (item.price, item.quantity) = (ordered.price, ordered.quantity);
    } else if let (Some(quantity), Some(_)) = (group.count("quantity")?, item.quantity) {
        item.quantity = Some(quantity);
    }
    merge_metadata(&mut item.metadata, group);
    Ok(())
}

/// A subscription keeps its currency.
fn in_currency(state: &State, ordered: OrderItem, currency: &str) -> Result<OrderItem, ApiError> {
    let price = state.prices.referenced(&ordered.price, "items[price]")?;
    if price.currency != currency {
        let message = format!(
            "The price specified only supports `{}`. This doesn't match the expected currency: `{currency}`.",
            price.currency
        );
        return Err(ApiError::refused(message).about("items[price]"));
    }
    Ok(ordered)
}

fn add_item(state: &mut State, new: &mut Subscription, group: &Params, now: i64) -> Result<(), ApiError> {
    let ordered = in_currency(state, order_item(state, group, "items")?, &new.currency)?;
    let natural = containing(new.anchor, cadence(state, &ordered.price)?, now);
    let paid = Period { start: natural.start.max(new.start_date), end: natural.end };
    let trial = new.trial.filter(|_| new.status == Status::Trialing);
    new.items.push(Item {
        id: state.ids.make("si"),
        price: ordered.price,
        quantity: ordered.quantity,
        metadata: ordered.metadata,
        created: now,
        period: trial.unwrap_or(paid),
    });
    Ok(())
}

fn change_cancellation(new: &mut Subscription, params: &Params, now: i64) -> Result<(), ApiError> {
    let was = new.cancels_at().is_some();
    if let Some(at_end) = params.boolean("cancel_at_period_end")? {
        new.cancel_at_period_end = at_end;
        new.cancel_at = None;
    }
    if let Some(at) = params.text("cancel_at") {
        let ends = || new.items.iter().map(|item| item.period.end);
        new.cancel_at = match at {
            "min_period_end" => ends().min(),
            "max_period_end" => ends().max(),
            _ => cancel_at(params, now)?,
        };
        new.cancel_at_period_end = false;
    }
    let is = new.cancels_at().is_some();
    if is != was {
        new.canceled_at = is.then_some(now);
    }
    Ok(())
}

fn change_pause(new: &mut Subscription, params: &Params) -> Result<(), ApiError> {
    match params.get("pause_collection") {
        None => {}
        Some(Param::Text(_)) => new.pause_collection = None,
        Some(Param::Group(group)) => {
            new.pause_collection = Some(Pause {
                behavior: group.required("behavior")?.to_owned(),
                resumes_at: group.integer("resumes_at")?,
            });
        }
    }
    Ok(())
}

/// Whether an item that stays is now billed at another rhythm.
fn cadences_changed(state: &State, old: &Subscription, new: &Subscription) -> Result<bool, ApiError> {
    for item in &new.items {
        let Some(was) = old.items.iter().find(|was| was.id == item.id) else {
            continue;
        };
        if cadence(state, &was.price)? != cadence(state, &item.price)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `POST /v1/subscriptions/:id/migrate`: to the flexible billing mode, from which there is no way back.
pub fn migrate(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    if billing_mode(call.params) != Some("flexible") {
        let message = "Invalid billing_mode[type]: must be flexible.";
        return Err(ApiError::parameter("billing_mode[type]", "parameter_invalid", message));
    }
    let before = json(state, state.subscriptions.find(call.id)?);
    state.subscriptions.find_mut(call.id)?.is_classic = false;
    announce(state, call.now, call.id, &before);
    Ok(json(state, state.subscriptions.find(call.id)?))
}

/// `POST /v1/subscriptions/:id/resume`: a paused subscription is active again.
pub fn resume(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let subscription = state.subscriptions.find_mut(call.id)?;
    if subscription.status != Status::Paused {
        return Err(ApiError::refused("This subscription is not paused."));
    }
    subscription.status = Status::Active;
    reschedule(state, call.id);
    let object = json(state, state.subscriptions.find(call.id)?);
    events::emit(state, call.now, "customer.subscription.resumed", object.clone());
    Ok(object)
}
