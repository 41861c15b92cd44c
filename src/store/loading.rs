//! Loading: all that the store knows of one customer, read at one instant and in one turn.

use rusqlite::Connection;

use super::{CustomerRow, KeyRow, Result, Store, Total, customers, idempotency, subscriptions, totals};
use crate::domain::period::Period;
use crate::domain::subscription::Facts;

/// Who is asked for, and what of their idempotency keys.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    /// The Stripe customer that a verified token claims: it replaces another link.
    pub claimed: Option<String>,
    /// Only those charged after this instant, in seconds.
    pub keys_after: i64,
    /// The latest so many.
    pub most_keys: usize,
}

/// A customer as the store knows them.
#[derive(Clone, Debug)]
pub struct Loaded<U> {
    pub customer: CustomerRow,
    /// Whether the subscriptions of the linked Stripe customer have been listed once.
    pub is_listed: bool,
    /// What the subscriptions were understood as.
    pub understood: U,
    /// Of the period that goes with it.
    pub totals: Vec<Total>,
    pub keys: Vec<KeyRow>,
}

impl Store {
    /// The customer of that name, made if it is new; a claim that replaces another link leaves an audit row.
    /// `understand` says what the subscriptions mean, and which period's totals are wanted.
    pub async fn load<U: Send + 'static>(
        &self,
        wanted: Wanted,
        now: i64,
        understand: impl Fn(&[Facts]) -> (U, Period) + Clone + Send + 'static,
    ) -> Result<Loaded<U>> {
        let (asked, meaning) = (wanted.clone(), understand.clone());
        let known = self.read(move |db| {
            let known = customers::by_name(db, &asked.name)?;
            let linked = known.filter(|row| asked.claimed.is_none() || row.stripe_customer == asked.claimed);
            linked.map(|row| read(db, row, &asked, meaning)).transpose()
        });
        if let Some(loaded) = known.await? {
            return Ok(loaded);
        }
        self.write(move |db| {
            let row = customers::register(db, &wanted.name, wanted.claimed.as_deref(), now)?;
            read(db, row, &wanted, understand)
        })
        .await
    }
}

fn read<U>(
    db: &Connection,
    customer: CustomerRow,
    wanted: &Wanted,
    understand: impl Fn(&[Facts]) -> (U, Period),
) -> Result<Loaded<U>> {
    let (is_listed, facts) = match &customer.stripe_customer {
        Some(id) => (subscriptions::is_listed(db, id)?, subscriptions::of(db, id)?),
        None => (false, Vec::new()),
    };
    let (understood, period) = understand(&facts);
    let totals = totals::of(db, customer.number, period.start)?;
    let keys = idempotency::latest(db, customer.number, wanted.keys_after, wanted.most_keys)?;
    Ok(Loaded { customer, is_listed, understood, totals, keys })
}
