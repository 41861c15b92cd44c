//! Subscriptions: what a customer pays for, item by item, each item with its own current period.
//!
//! Differences from Stripe, on purpose: only `proration_behavior=always_invoice` prorates; a new interval on any
//! item ends all periods at once and starts new ones now, and gives nothing back for the old ones; the usage of a
//! metered item that is deleted is never billed, and that of one whose price is replaced is billed with the rest of
//! the period, under the new price.

mod create;
mod due;
mod end;
mod force;
mod json;
mod payment;
mod proration;
mod renewal;
mod update;

use serde_json::Value;

use super::alarms::Alarm;
use super::error::ApiError;
use super::period::Period;
use super::span::Span;
use super::state::{Call, Metadata, State};
use super::table::{Page, Row, list};

pub use create::{Order, OrderItem, create, open, order_item, trial_end};
pub use due::{expire_incomplete, tell_of_trial};
pub use end::{cancel, cancel_all};
pub use force::{fail_payment, force_period, force_status};
pub use json::json;
pub use renewal::turn_first;
pub use update::{migrate, resume, update};

#[derive(Debug, Clone)]
pub struct Subscription {
    pub id: String,
    pub customer: String,
    pub status: Status,
    pub items: Vec<Item>,
    pub metadata: Metadata,
    pub currency: String,
    pub created: i64,
    pub start_date: i64,
    pub anchor: i64,
    pub cancel_at_period_end: bool,
    /// A moment of its own at which it ends.
    pub cancel_at: Option<i64>,
    pub canceled_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub trial: Option<Period>,
    pub pause_collection: Option<Pause>,
    /// Of the billing mode before `flexible`: all its prices recur at one interval.
    pub is_classic: bool,
    pub latest_invoice: Option<String>,
    /// The card it is paid by, before the customer's default.
    pub default_payment_method: Option<String>,
    /// Where it stands in [`State::edges`].
    edge: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub price: String,
    /// `None`: metered.
    pub quantity: Option<u64>,
    pub metadata: Metadata,
    pub created: i64,
    pub period: Period,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub behavior: String,
    pub resumes_at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Trialing,
    Active,
    Incomplete,
    IncompleteExpired,
    PastDue,
    Canceled,
    Unpaid,
    Paused,
}

impl Status {
    const ALL: [Self; 8] = [
        Self::Trialing,
        Self::Active,
        Self::Incomplete,
        Self::IncompleteExpired,
        Self::PastDue,
        Self::Canceled,
        Self::Unpaid,
        Self::Paused,
    ];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
            Self::Unpaid => "unpaid",
            Self::Paused => "paused",
        }
    }

    /// Nothing can follow.
    pub fn ended(self) -> bool {
        matches!(self, Self::Canceled | Self::IncompleteExpired)
    }

    /// Its periods follow one another.
    fn cycles(self) -> bool {
        matches!(self, Self::Trialing | Self::Active | Self::PastDue | Self::Unpaid)
    }
}

impl Row for Subscription {
    const NOUN: &'static str = "subscription";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.customer)
    }
}

impl Subscription {
    /// When a cancellation takes effect: at a moment of its own, or, as at Stripe, with the first period that ends.
    pub fn cancels_at(&self) -> Option<i64> {
        let ends = self.items.iter().map(|item| item.period.end);
        self.cancel_at.or_else(|| ends.min().filter(|_| self.cancel_at_period_end))
    }

    /// When the next period ends, or everything does.
    pub fn next_edge(&self) -> Option<i64> {
        let ends = self.items.iter().map(|item| item.period.end);
        ends.chain(self.cancels_at()).min().filter(|_| self.status.cycles())
    }
}

/// Puts a subscription where it now belongs among the edges.
pub fn reschedule(state: &mut State, id: &str) {
    let Some(subscription) = state.subscriptions.get_mut(id) else {
        return;
    };
    let next = subscription.next_edge();
    let old = std::mem::replace(&mut subscription.edge, next);
    if let Some(old) = old {
        state.edges.remove(&(old, id.to_owned()));
    }
    if let Some(next) = next {
        state.edges.insert((next, id.to_owned()));
        if let Some(days) = state.options.upcoming_days.filter(|_| old != Some(next)) {
            let notice = next - i64::from(days) * 86_400;
            state.alarms.insert((notice, Alarm::InvoiceUpcoming(id.to_owned(), next)));
        }
    }
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let subscription = state.subscriptions.find(call.id)?;
    Ok(json(state, subscription))
}

/// By default all that are not canceled; `status=all` lists every one, `ended` the terminal ones.
pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let wanted = call.params.filled("status");
    if wanted.is_some_and(|name| !["all", "ended"].contains(&name) && Status::parse(name).is_none()) {
        return Err(ApiError::parameter("status", "parameter_invalid", "Invalid status."));
    }
    let created = Span::read(call.params, "created")?;
    let by_status = |status: Status| match wanted {
        None => status != Status::Canceled,
        Some("all") => true,
        Some("ended") => status.ended(),
        Some(name) => status.name() == name,
    };
    let price = call.params.filled("price");
    let keep = |subscription: &Subscription| {
        by_status(subscription.status)
            && created.contains(subscription.created)
            && price.is_none_or(|price| subscription.items.iter().any(|item| item.price == price))
    };
    let customer = call.params.filled("customer");
    let (rows, more) = state.subscriptions.page(&Page::read(call.params)?, customer, keep)?;
    let data = rows.into_iter().map(|row| json(state, row)).collect();
    Ok(list("/v1/subscriptions", data, more))
}
