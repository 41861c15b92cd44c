//! `proration_behavior`: what a change in the middle of a period costs at once.
//!
//! With `always_invoice` an invoice is made now: the unused time of each flat fee that ends is given back, the
//! rest of the period is charged for each that begins, to the second. The other behaviours bill nothing here:
//! `create_prorations` would add the same lines to the next invoice.

use super::{Item, Status, Subscription};
use crate::sandbox::error::ApiError;
use crate::sandbox::invoices::Bill;
use crate::sandbox::params::Params;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proration {
    None,
    AtOnce,
}

impl Proration {
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        match params.filled("proration_behavior") {
            None | Some("create_prorations" | "none") => Ok(Self::None),
            Some("always_invoice") => Ok(Self::AtOnce),
            Some(other) => {
                let message = format!(
                    "Invalid proration_behavior: must be one of always_invoice, create_prorations, or none; got {other}"
                );
                Err(ApiError::parameter("proration_behavior", "parameter_invalid", message))
            }
        }
    }

    /// What a change is billed at once.
    pub fn bills(self, old: &Subscription, new: &Subscription, now: i64) -> Vec<(Item, Bill)> {
        if self == Self::None || old.status == Status::Trialing {
            return Vec::new();
        }
        let same = |a: &Item, b: &Item| (&a.id, &a.price, a.quantity) == (&b.id, &b.price, b.quantity);
        let only_in = |these: &'_ [Item], those: &[Item]| -> Vec<Item> {
            let licensed = these.iter().filter(|item| item.quantity.is_some());
            licensed.filter(|item| !those.iter().any(|other| same(item, other))).cloned().collect()
        };
        let ended = only_in(&old.items, &new.items).into_iter();
        let begun = only_in(&new.items, &old.items).into_iter();
        let unused = ended.map(|item| (item.clone(), Bill::Unused(item.period, now)));
        let rest = begun.map(|item| (item.clone(), Bill::Rest(item.period, now)));
        unused.chain(rest).collect()
    }
}
