//! Credits given to customers and taken from them. What requests spend is the account's.
//!
//! A grant is the store's before it can be spent; what is taken away cannot be spent from before the store hears of it.
//! Neither overlaps with a load or a refresh of the same customer.

use std::sync::Arc;

use crate::domain::account::Purpose;
use crate::domain::credits::{self, Lot};
use crate::domain::usage::Now;
use crate::fleet;
use crate::metrics::METRICS;
use crate::store::{CreditAct, CreditGrant, StoreError};

use super::Customers;
use super::entry::{Denied, Entry};

/// What became of taking credits away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many can be spent now.
    Left(u64),
    /// Nothing was taken: no more than these are held by nothing in flight.
    Short(u64),
    /// Something has been done for this cause already.
    Known,
}

impl Customers {
    /// Grants prepaid units, and answers how many can be spent now; `None` if the cause is known: it has had its grant.
    pub async fn grant_credits(
        &self,
        name: &str,
        units: u64,
        expires_at: Option<i64>,
        cause: String,
        reason: String,
        now: Now,
    ) -> Result<Option<u64>, StoreError> {
        self.grant(name, (units, expires_at), CreditAct { cause, reason, actor: "stripe" }, now).await
    }

    /// The same by whoever the act names.
    pub async fn grant(
        &self,
        name: &str,
        (units, expires_at): (u64, Option<i64>),
        act: CreditAct,
        now: Now,
    ) -> Result<Option<u64>, StoreError> {
        // Whoever is held cannot leave.
        let entry = self.load(name, None, now).await?;
        let _one_at_a_time = self.stripe(name).lock().await;
        let code = fleet::lot_code(&act.cause);
        let grant = CreditGrant { customer: entry.number, units, expires_at, act };
        let Some(lot) = self.store.grant_credits(grant, now.seconds()).await? else { return Ok(None) };
        METRICS.credits.with_label_values(&["granted"]).inc_by(units);
        let mut account = entry.account();
        account.put_credits(lot);
        if let Some(notes) = account.notes_mut() {
            notes.lots.push((lot.grant, code));
        }
        let credits = account.credits(now);
        drop(account);
        self.stir(&entry);
        Ok(Some(credits))
    }

    /// Units that nothing in flight holds, with what the fleet lends where they are not here; or how many there are.
    async fn held_credits(&self, entry: &Arc<Entry>, units: u64, now: Now) -> Result<Vec<Lot>, u64> {
        let take = |at| entry.account().take_credits(units, at).map_err(|_| Denied::Refill);
        match take(now) {
            Err(_) => self.obtain(entry, Purpose::Credits(units), now, take).await,
            taken => taken,
        }
        .map_err(|_| entry.account().free_credits(now))
    }

    /// Takes credits away that nothing in flight holds: all of them, or none.
    pub async fn take_credits(
        &self,
        name: &str,
        units: u64,
        act: CreditAct,
        now: Now,
    ) -> Result<Taken, StoreError> {
        let entry = self.load(name, None, now).await?;
        let _one_at_a_time = self.stripe(name).lock().await;
        if self.store.credits_of_cause(act.cause.clone()).await?.is_some() {
            return Ok(Taken::Known);
        }
        let taken = match self.held_credits(&entry, units, now).await {
            Ok(taken) => taken,
            Err(free) => return Ok(Taken::Short(free)),
        };
        let noted = self.store.take_credits(entry.number, taken.clone(), act, now.seconds()).await;
        let mut account = entry.account();
        if let Err(error) = noted {
            account.give_back_credits(&taken);
            return Err(error);
        }
        METRICS.credits.with_label_values(&["taken"]).inc_by(credits::sum(&taken));
        let left = account.credits(now);
        drop(account);
        self.stir(&entry);
        Ok(Taken::Left(left))
    }
}
