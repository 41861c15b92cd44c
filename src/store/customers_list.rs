//! Customers as operators see them: found by name or Stripe id, listed by tier and status.

use crate::domain::anonymous::is_anonymous;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::subscriptions::read_facts;
use super::{Result, Store};
use crate::domain::subscription::Facts;

/// Which customers to show; what is left out holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerFilter {
    /// How the name begins, or the Stripe customer.
    pub named: Option<String>,
    pub tier: Option<TierFilter>,
    pub status: Option<String>,
}

/// Whoever has a tier in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierFilter {
    pub name: String,
    /// Those of whom no tier was ever noted have the default one.
    pub is_default: bool,
}

/// A customer as last noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerListing {
    pub number: u32,
    pub name: String,
    pub stripe_customer: Option<String>,
    /// `claim` or `stripe`.
    pub linked_by: Option<String>,
    pub linked_at: Option<i64>,
    pub first_seen: i64,
    /// None: the default one, if there is one.
    pub tier: Option<String>,
    pub status: String,
    pub state_since: Option<i64>,
    pub trial_at: Option<i64>,
    pub erased_at: Option<i64>,
    pub has_override: bool,
    pub is_blocked: bool,
}

const COLUMNS: &str =
    "number, name, stripe_customer, linked_by, linked_at, first_seen, tier, status, state_since,
    trial_at, erased_at, marks & 2 <> 0, marks & 4 <> 0";

impl Store {
    /// The customer of that name, who is not made.
    pub async fn find_listing(&self, name: String) -> Result<Option<CustomerListing>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM customers WHERE name = ?1"))?;
            Ok(query.query_row([name], read_row).optional()?)
        })
        .await
    }

    /// A page of at most `limit` customers behind a number, in the order of their numbers.
    pub async fn list_customers(
        &self,
        filter: CustomerFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<CustomerListing>> {
        self.scan(move |db| {
            // By name they are found in its index, and few enough to be put in order.
            let behind = if filter.named.is_some() { "+number > ?" } else { "number > ?" };
            list(db, filter, (behind, after.into()), ("number", limit))
        })
        .await
    }

    /// The same behind a name, in the order of their names.
    pub async fn list_customers_by_name(
        &self,
        filter: CustomerFilter,
        after: String,
        limit: u32,
    ) -> Result<Vec<CustomerListing>> {
        self.scan(move |db| list(db, filter, ("name > ?", after.into()), ("name", limit))).await
    }

    /// What was last read of a Stripe customer's subscriptions, with the tier that each stands for.
    pub async fn known_subscriptions(&self, stripe_customer: String) -> Result<Vec<(Facts, Option<String>)>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT facts, tier FROM subscriptions WHERE stripe_customer = ?1 ORDER BY id",
            )?;
            let rows = query.query_map(params![stripe_customer], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })?;
            rows.map(|row| row.map_err(Into::into).and_then(|(facts, tier)| Ok((read_facts(&facts)?, tier))))
                .collect()
        })
        .await
    }
}

fn list(
    db: &Connection,
    filter: CustomerFilter,
    (behind, after): (&str, Value),
    (order, limit): (&str, u32),
) -> Result<Vec<CustomerListing>> {
    // Anonymous callers are found by their names alone: there may be very many.
    let (mut wanted, mut values) = (vec![behind], vec![after]);
    if !filter.named.as_deref().is_some_and(is_anonymous) {
        wanted.push("NOT is_anonymous");
    }
    if let Some(named) = filter.named {
        wanted.push("(name >= ? AND name < ? OR stripe_customer = ?)");
        let end = format!("{named}{}", char::MAX);
        values.extend([named.clone(), end, named].map(Value::from));
    }
    if let Some(TierFilter { name, is_default }) = filter.tier {
        wanted.push(if is_default { "(tier = ? OR tier IS NULL)" } else { "tier = ?" });
        values.push(name.into());
    }
    if let Some(status) = filter.status {
        wanted.push("status = ?");
        values.push(status.into());
    }
    values.push(limit.into());
    let wanted = wanted.join(" AND ");
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM customers WHERE {wanted} ORDER BY {order} LIMIT ?"
    ))?;
    let rows = query.query_map(params_from_iter(values), read_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<CustomerListing> {
    Ok(CustomerListing {
        number: row.get(0)?,
        name: row.get(1)?,
        stripe_customer: row.get(2)?,
        linked_by: row.get(3)?,
        linked_at: row.get(4)?,
        first_seen: row.get(5)?,
        tier: row.get(6)?,
        status: row.get(7)?,
        state_since: row.get(8)?,
        trial_at: row.get(9)?,
        erased_at: row.get(10)?,
        has_override: row.get(11)?,
        is_blocked: row.get(12)?,
    })
}
