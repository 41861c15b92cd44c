//! What nodes ask each other of their outboxes, and answer.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::store::{Account, Holdings, MinuteHoldings, RepairRow, Unanswered};

/// From an instant to another.
pub type Span = (i64, i64);

/// What a node asks the others of their outboxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The next Stripe customers by name.
    Customers {
        after: String,
        limit: u32,
    },
    /// Our names for a Stripe customer.
    Names {
        stripe_customer: String,
    },
    /// Of the Stripe customers from one to another.
    Between {
        customers: (String, String),
        span: Span,
    },
    Holdings {
        account: Account,
        span: Span,
    },
    Minutes {
        account: Account,
        span: Span,
    },
    Unanswered {
        account: Account,
        minute: Span,
        tried_before: i64,
    },
    /// Repairs without an answer.
    Repairs {
        account: Account,
        span: Span,
    },
    /// The node of this name shall make a repair.
    Repair {
        node: String,
        asked_at: i64,
        gap: Gap,
        /// What it told of the minute.
        seen: Holdings,
    },
    /// What became of a repair.
    Row(RowAt),
    /// All nodes shall show what a comparison has found, by meter.
    Found(Vec<(String, i64)>),
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is for another node.
    NotMine,
    Names(Vec<String>),
    Between(Vec<(Account, Holdings)>),
    Holdings(Holdings),
    Minutes(Vec<MinuteHoldings>),
    Unanswered(Holdings, Unanswered),
    Repairs(Vec<i64>),
    /// None: its minute has changed.
    Made(Option<i64>),
    Row(RepairRow),
    Noted,
}

/// Units that Stripe misses in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub account: Account,
    pub minute: Span,
    pub units: i64,
}

/// An outbox row of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowAt {
    /// Empty where this node is alone.
    pub node: String,
    pub row: i64,
}

/// The other nodes of the fleet.
pub trait OtherBooks: Send + Sync {
    /// This node's own name.
    fn node(&self) -> &str;
    fn ask(&self, question: Question) -> BoxFuture<'_, Answers>;
}

/// What the others have answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// With the nodes' names.
    pub answers: Vec<(String, Answer)>,
    /// Who is known and has not, by name.
    pub missing: Vec<String>,
}
