//! Credits of customers, whether in memory or not.

use crate::domain::usage::Now;
use crate::metrics::METRICS;
use crate::store::{CreditGrant, StoreError};

use super::Customers;

impl Customers {
    /// Grants prepaid units, in the store first; from then on they can be spent. Answers the new balance; `None` when
    /// this cause has had its grant.
    pub async fn grant_credits(
        &self,
        name: &str,
        units: u64,
        expires_at: Option<i64>,
        cause: String,
        reason: String,
        now: Now,
    ) -> Result<Option<u64>, StoreError> {
        let customer = self.store.customer(name.to_owned(), None, now.seconds()).await?.number;
        let _one_at_a_time = self.stripe(name).lock().await;
        let grant = CreditGrant { customer, units, expires_at, cause, reason };
        let Some(lot) = self.store.grant_credits(grant, now).await? else { return Ok(None) };
        METRICS.credits.with_label_values(&["granted"]).inc_by(units);
        if let Some(entry) = self.get(name) {
            let mut account = entry.account();
            account.grant_credits(lot);
            return Ok(Some(account.credits(now)));
        }
        let last = self.store.credit_history(customer, None, 1).await?;
        Ok(Some(last.first().map_or(units, |row| row.balance)))
    }
}
