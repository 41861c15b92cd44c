//! Starting a subscription.

use serde_json::Value;

use super::payment::PaymentBehavior;
use super::{Item, Status, Subscription, due, json, renewal, reschedule};
use crate::sandbox::customers;
use crate::sandbox::error::ApiError;
use crate::sandbox::events;
use crate::sandbox::invoices::{Bill, Reason};
use crate::sandbox::known;
use crate::sandbox::params::Params;
use crate::sandbox::payment_methods;
use crate::sandbox::period::{Cadence, Period, containing};
use crate::sandbox::state::{Call, Metadata, State, new_metadata};

const DAY: i64 = 86_400;
/// Stripe's longest trial.
const MAX_TRIAL_DAYS: i64 = 730;
/// No instant after the year 9999.
const LAST_INSTANT: i64 = 253_402_300_799;

/// What is to be subscribed to, from the API or from a checkout.
#[derive(Debug, Default)]
pub struct Order {
    pub customer: String,
    pub items: Vec<OrderItem>,
    pub metadata: Metadata,
    pub trial_end: Option<i64>,
    pub anchor: Option<i64>,
    pub backdated_to: Option<i64>,
    pub cancel_at_period_end: bool,
    pub cancel_at: Option<i64>,
    /// The card it is paid by, before the customer's default.
    pub card: Option<String>,
    pub behavior: PaymentBehavior,
    pub is_classic: bool,
}

#[derive(Debug, Clone)]
pub struct OrderItem {
    pub price: String,
    pub quantity: Option<u64>,
    pub metadata: Metadata,
}

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let order = read(state, call)?;
    let id = open(state, call.now, order)?;
    Ok(json(state, state.subscriptions.find(&id)?))
}

fn read(state: &State, call: &Call<'_>) -> Result<Order, ApiError> {
    let params = call.params;
    params.only(known::SUBSCRIPTION_CREATE)?;
    let customer = params.required("customer")?;
    customers::referenced(state, customer, "customer")?;
    let mut items = Vec::new();
    for group in params.groups("items") {
        items.push(order_item(state, group, "items")?);
    }
    if items.is_empty() {
        return Err(ApiError::parameter_missing("items"));
    }
    let anchor = instant(params, "billing_cycle_anchor")?;
    let backdated_to = instant(params, "backdate_start_date")?;
    if anchor.is_some_and(|anchor| anchor < backdated_to.unwrap_or(call.now)) {
        let message = "billing_cycle_anchor must not lie before the subscription's start.";
        return Err(ApiError::parameter("billing_cycle_anchor", "parameter_invalid", message));
    }
    if backdated_to.is_some_and(|start| start > call.now) {
        let message = "backdate_start_date must lie in the past.";
        return Err(ApiError::parameter("backdate_start_date", "parameter_invalid", message));
    }
    Ok(Order {
        customer: customer.to_owned(),
        items,
        metadata: new_metadata(params),
        trial_end: trial_end(params, call.now)?,
        anchor,
        backdated_to,
        cancel_at_period_end: params.boolean("cancel_at_period_end")?.unwrap_or(false),
        cancel_at: cancel_at(params, call.now)?,
        card: payment_methods::chosen(state, params, "default_payment_method", customer)?,
        behavior: PaymentBehavior::read(params)?,
        is_classic: billing_mode(params) == Some("classic"),
    })
}

pub fn billing_mode(params: &Params) -> Option<&str> {
    params.group("billing_mode")?.filled("type")
}

/// A price and quantity, as items and checkout lines name them.
pub fn order_item(state: &State, group: &Params, list: &str) -> Result<OrderItem, ApiError> {
    let param = format!("{list}[price]");
    let id = group.filled("price").ok_or_else(|| ApiError::parameter_missing(&param))?;
    let price = state.prices.referenced(id, &param)?;
    if !price.active {
        let message = "The price specified is inactive. This field only accepts active prices.";
        return Err(ApiError::refused(message).about(&param));
    }
    let quantity = match (price.meter(), group.count("quantity")?) {
        (Some(_), Some(_)) => {
            let message = "Quantity should not be specified where usage_type is `metered`.";
            let param = format!("{list}[quantity]");
            return Err(ApiError::parameter(&param, "parameter_invalid", message));
        }
        (Some(_), None) => None,
        (None, quantity) => Some(quantity.unwrap_or(1)),
    };
    Ok(OrderItem { price: id.to_owned(), quantity, metadata: new_metadata(group) })
}

/// The end of a trial from `trial_period_days` or `trial_end`.
pub fn trial_end(params: &Params, now: i64) -> Result<Option<i64>, ApiError> {
    if let Some(days) = params.integer("trial_period_days")? {
        if !(1..=MAX_TRIAL_DAYS).contains(&days) {
            let message = "trial_period_days must be between 1 and 730.";
            return Err(ApiError::parameter("trial_period_days", "parameter_invalid", message));
        }
        return Ok(Some(now + days * DAY));
    }
    Ok(instant(params, "trial_end")?.filter(|end| *end > now))
}

/// When a request wants the subscription to end.
pub fn cancel_at(params: &Params, now: i64) -> Result<Option<i64>, ApiError> {
    let at = instant(params, "cancel_at")?;
    if at.is_some() && params.boolean("cancel_at_period_end")? == Some(true) {
        let message = "You may only specify one of these parameters: cancel_at, cancel_at_period_end.";
        return Err(ApiError::refused(message));
    }
    if at.is_some_and(|at| at <= now) {
        let message = "cancel_at must be a timestamp in the future.";
        return Err(ApiError::parameter("cancel_at", "parameter_invalid", message));
    }
    Ok(at)
}

fn instant(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    let instant = params.integer(name)?;
    if instant.is_some_and(|at| !(0..=LAST_INSTANT).contains(&at)) {
        return Err(ApiError::parameter(name, "parameter_invalid", "Invalid timestamp."));
    }
    Ok(instant)
}

/// The cadence of a recurring price.
pub fn cadence(state: &State, price: &str) -> Result<Cadence, ApiError> {
    let price = state.prices.referenced(price, "items[price]")?;
    let recurring = price.recurring.as_ref().ok_or_else(|| {
        let message = "The price specified is set to `type=one_time` but this field only accepts \
                       prices with `type=recurring`.";
        ApiError::refused(message).about("items[price]")
    })?;
    Ok(recurring.cadence)
}

/// Starts a subscription, makes its first invoice and tells the world.
pub fn open(state: &mut State, now: i64, order: Order) -> Result<String, ApiError> {
    let behavior = order.behavior;
    let subscription = build(state, now, order)?;
    let id = subscription.id.clone();
    let bills: Vec<_> =
        subscription.items.iter().filter_map(|item| first_bill(&subscription, item)).collect();
    behavior.admit(state, now, &subscription, &bills)?;
    state.subscriptions.insert(subscription);
    reschedule(state, &id);
    renewal::attach_invoice(state, now, &id, &bills, Reason::Create, behavior.collect(), |state| {
        let object = state.subscriptions.get(&id).map(|row| json(state, row)).unwrap_or_default();
        events::emit(state, now, "customer.subscription.created", object);
    })?;
    due::plan_first_payment(state, now, &id);
    due::plan_trial_notice(state, now, &id)?;
    Ok(id)
}

/// Licensed items are paid in advance, metered ones at the end of the period; a trial costs nothing.
fn first_bill(subscription: &Subscription, item: &Item) -> Option<(Item, Bill)> {
    item.quantity?;
    let bill = match subscription.trial {
        Some(_) => Bill::Trial(item.period),
        None => Bill::Fee(item.period),
    };
    Some((item.clone(), bill))
}

fn build(state: &mut State, now: i64, order: Order) -> Result<Subscription, ApiError> {
    let start = order.backdated_to.unwrap_or(now);
    let trial = order.trial_end.map(|end| Period { start: now, end });
    let anchor = trial.map(|trial| trial.end).or(order.anchor).unwrap_or(start);
    let currency = common_currency(state, &order.items)?;
    let mut items = Vec::new();
    for item in order.items {
        let natural = containing(anchor, cadence(state, &item.price)?, now);
        let since = Period { start: natural.start.max(start), end: natural.end };
        items.push(Item {
            id: state.ids.make("si"),
            price: item.price,
            quantity: item.quantity,
            metadata: item.metadata,
            created: now,
            period: trial.unwrap_or(since),
        });
    }
    refuse_duplicates(&items)?;
    refuse_mixed(state, order.is_classic, &items)?;
    Ok(Subscription {
        id: state.ids.make("sub"),
        customer: order.customer,
        status: if trial.is_some() { Status::Trialing } else { Status::Active },
        items,
        metadata: order.metadata,
        currency,
        created: now,
        start_date: start,
        anchor,
        cancel_at_period_end: order.cancel_at_period_end,
        cancel_at: order.cancel_at,
        canceled_at: (order.cancel_at_period_end || order.cancel_at.is_some()).then_some(now),
        default_payment_method: order.card,
        ended_at: None,
        trial,
        pause_collection: None,
        is_classic: order.is_classic,
        latest_invoice: None,
        edge: None,
    })
}

fn common_currency(state: &State, items: &[OrderItem]) -> Result<String, ApiError> {
    let mut common = None;
    for item in items {
        let currency = &state.prices.referenced(&item.price, "items[price]")?.currency;
        if common.get_or_insert(currency) != &currency {
            return Err(ApiError::refused("All prices on a subscription must have the same currency."));
        }
    }
    common.cloned().ok_or_else(|| ApiError::parameter_missing("items"))
}

/// A price stands on a subscription once.
pub fn refuse_duplicates(items: &[Item]) -> Result<(), ApiError> {
    let mut prices: Vec<_> = items.iter().map(|item| &item.price).collect();
    prices.sort();
    if prices.windows(2).any(|pair| pair[0] == pair[1]) {
        let message = "Cannot add multiple subscription items with the same plan.";
        return Err(ApiError::refused(message).about("items"));
    }
    Ok(())
}

/// A classic subscription has one interval.
pub fn refuse_mixed(state: &State, is_classic: bool, items: &[Item]) -> Result<(), ApiError> {
    let mut cadences = Vec::new();
    for item in items.iter().filter(|_| is_classic) {
        cadences.push(cadence(state, &item.price)?);
    }
    if cadences.windows(2).any(|pair| pair[0] != pair[1]) {
        let message =
            "All prices on a subscription must have the same interval, unless its billing_mode is flexible.";
        return Err(ApiError::refused(message).about("items"));
    }
    Ok(())
}
