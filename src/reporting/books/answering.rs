//! What this node tells another one of its own outbox, and does for it.

use crate::store::StoreError;

use super::{Answer, Books, Question, new_row, period};

/// Whoever is asked for a repair later than this does not make it: much may have changed.
const REPAIRED_WITHIN_SECONDS: i64 = 10;

impl Books {
    /// This node's answer to another one.
    pub async fn answer(
        &self,
        question: Question,
        identifier_prefix: &str,
        now: i64,
    ) -> Result<Answer, StoreError> {
        let store = &self.store;
        Ok(match question {
            Question::Customers { after, limit } => {
                Answer::Names(store.stripe_customers(after, limit).await?)
            }
            Question::Names { stripe_customer } => Answer::Names(store.names_of(stripe_customer).await?),
            Question::Between { customers, span } => {
                Answer::Between(store.holdings_between(customers, period(span)).await?)
            }
            Question::Holdings { account, span } => {
                Answer::Holdings(store.holdings(account, period(span)).await?)
            }
            Question::Minutes { account, span } => {
                Answer::Minutes(store.minutes(account, period(span)).await?)
            }
            Question::Unanswered { account, minute, tried_before } => {
                let (held, waiting) = store.unanswered(account, period(minute), tried_before).await?;
                Answer::Unanswered(held, waiting)
            }
            Question::Repairs { account, span } => {
                Answer::Repairs(store.pending_repairs(account, period(span)).await?)
            }
            Question::Repair { node, asked_at, gap, seen } if node == self.own_name() => {
                let is_late = now.abs_diff(asked_at) > REPAIRED_WITHIN_SECONDS.unsigned_abs();
                let row = new_row(gap, seen, identifier_prefix);
                Answer::Made(if is_late { None } else { store.repair(row, now).await? })
            }
            Question::Row(row) if row.node == self.own_name() => {
                Answer::Row(store.repair_row(row.row).await?)
            }
            Question::Found(units) => store.set_reconciled(units, now).await.map(|()| Answer::Noted)?,
            Question::Repair { .. } | Question::Row(_) => Answer::NotMine,
        })
    }
}
