//! What a comparison of ledger and Stripe has found.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::period::{Period, rfc3339};

use super::books::RowAt;
use super::drift::Drift;
use super::repair::RepairEvent;

/// One customer and meter at Stripe of whom ledger and Stripe tell different sums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// Our name for the customer; several that share one at Stripe are separated by commas.
    pub customer: String,
    pub stripe_customer: String,
    pub meter: String,
    pub ledger: i64,
    pub stripe: i64,
    /// Ledger less Stripe.
    pub difference: i64,
    pub repaired: i64,
    pub dead_units: i64,
    pub pending_units: i64,
    pub note: String,
    /// Meter events that were made to repair it, now or earlier: the earlier ones that had no answer yet.
    pub repairs: Vec<RepairEvent>,
    /// Outbox rows of this run that shall repair it.
    #[serde(skip)]
    pub(super) made: Vec<RowAt>,
    /// Outbox rows of earlier runs that had no answer when it was found.
    #[serde(skip)]
    pub(super) earlier: Vec<RowAt>,
    /// Of the minutes that Stripe has had its time for; none where they were not looked at.
    #[serde(skip)]
    pub(super) drift: Option<Drift>,
}

impl Difference {
    /// What no repair has made good.
    pub fn left(&self) -> i64 {
        self.difference - self.repaired
    }

    /// Units of it, in either direction, that neither a repair nor Stripe's delay explains.
    pub(super) fn unexplained(&self) -> i64 {
        self.drift.map_or(self.left().abs(), |drift| drift.unexplained(self.repaired))
    }

    pub(super) fn remark(&mut self, remark: &str) {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(remark);
    }
}

/// What a run has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// RFC 3339.
    pub start: String,
    pub end: String,
    /// Where the period began earlier than what is kept: since when it is, which is where the comparison starts.
    pub kept_since: Option<String>,
    /// What to know of the comparison as a whole; may be empty.
    pub note: String,
    /// Customers at Stripe that were compared.
    pub customers: u64,
    pub differences: Vec<Difference>,
    /// In a fleet: who has not told what they have sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_missing: Option<BTreeSet<String>>,
}

impl Report {
    pub(super) fn new(asked: Period, span: Period) -> Self {
        let (start, end) = (rfc3339(span.start), rfc3339(span.end));
        let is_cut = span.start > asked.start;
        let note = if is_cut {
            format!(
                "only a part of the period is compared, from {start} instead of {}: delivered meter events are kept \
                 for ledger.retention",
                rfc3339(asked.start)
            )
        } else {
            String::new()
        };
        let kept_since = is_cut.then(|| start.clone());
        Self { start, end, kept_since, note, customers: 0, differences: Vec::new(), nodes_missing: None }
    }

    pub fn is_settled(&self) -> bool {
        self.differences.iter().all(|difference| difference.left() == 0)
    }

    pub(super) fn remark(&mut self, remark: &str) {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(remark);
    }

    pub(super) fn miss(&mut self, nodes: Vec<String>) {
        self.nodes_missing.get_or_insert_default().extend(nodes);
    }

    pub(super) fn is_partial(&self) -> bool {
        self.nodes_missing.as_ref().is_some_and(|nodes| !nodes.is_empty())
    }
}
