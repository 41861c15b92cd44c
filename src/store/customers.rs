//! Customers: their numbers, and which Stripe customer stands for each.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, Store, audit, facts, totals};
use crate::domain::anonymous::is_anonymous;

/// Where a link to Stripe comes from. A claim beats what Stripe's objects say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkedBy {
    /// A verified token's claim.
    Claim,
    /// `client_reference_id` or `metadata.tollgate_customer` of an object at Stripe.
    Stripe,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRow {
    pub number: u32,
    pub name: String,
    pub stripe_customer: Option<String>,
}

/// A link that Stripe's objects suggest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    pub customer: String,
    pub stripe_customer: String,
}

impl Store {
    /// The customer of that name, made if it is new. A claimed Stripe customer replaces another link, and leaves
    /// an audit row.
    pub async fn customer(&self, name: String, claimed: Option<String>, now: i64) -> Result<CustomerRow> {
        let (asked, claim) = (name.clone(), claimed.clone());
        let known = self.read(move |db| by_name(db, &asked)).await?;
        match known {
            Some(row) if claim.is_none() || row.stripe_customer == claim => Ok(row),
            _ => self.write(move |db| register(db, &name, claimed.as_deref(), now)).await,
        }
    }

    /// The customer of that name, if there has been one.
    pub async fn find_customer(&self, name: String) -> Result<Option<CustomerRow>> {
        self.read(move |db| by_name(db, &name)).await
    }

    /// The name behind a number.
    pub async fn customer_name(&self, number: u32) -> Result<Option<String>> {
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT name FROM customers WHERE number = ?1")?;
            Ok(query.query_row([number], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Links a customer that has no link yet, made if it is new; another link is never replaced, and nobody
    /// stands for an anonymous caller. Answers the customer's number if the link is new.
    pub async fn link(&self, link: NewLink, now: i64) -> Result<Option<u32>> {
        if is_anonymous(&link.customer) {
            return Ok(None);
        }
        self.write(move |db| {
            let row = register(db, &link.customer, None, now)?;
            if row.stripe_customer.is_some() {
                return Ok(None);
            }
            set_link(db, &row, &link.stripe_customer, LinkedBy::Stripe, now)?;
            facts::note_link(db, &row.name, LinkedBy::Stripe, &link.stripe_customer, now)?;
            Ok(Some(row.number))
        })
        .await
    }

    /// Customers with use in periods that have not ended, or with credits: those behind a number, in the order of theirs.
    pub async fn customers_with_use(&self, after: u32, limit: u32, now: i64) -> Result<Vec<CustomerRow>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT number, name, stripe_customer FROM customers c
                 WHERE number > ?1 AND (EXISTS (SELECT 1 FROM totals WHERE customer = number AND period_end > ?3)
                                        OR EXISTS (SELECT 1 FROM credit_lots WHERE customer = number))
                 ORDER BY number LIMIT ?2",
            )?;
            let rows = query.query_map(params![after, limit, now], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// All of our customers that a Stripe customer stands for.
    pub async fn customers_of(&self, stripe_customer: String) -> Result<Vec<CustomerRow>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT number, name, stripe_customer FROM customers WHERE stripe_customer = ?1",
            )?;
            let rows = query.query_map([stripe_customer], read_row)?.collect::<rusqlite::Result<_>>()?;
            Ok(rows)
        })
        .await
    }
}

pub(super) fn register(db: &Connection, name: &str, claimed: Option<&str>, now: i64) -> Result<CustomerRow> {
    db.prepare_cached("INSERT OR IGNORE INTO customers (name, first_seen) VALUES (?1, ?2)")?
        .execute(params![name, now])?;
    let row = by_name(db, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    match claimed {
        Some(claim) if row.stripe_customer.as_deref() != Some(claim) => {
            set_link(db, &row, claim, LinkedBy::Claim, now)?;
            facts::note_link(db, name, LinkedBy::Claim, claim, now)?;
            Ok(CustomerRow { stripe_customer: Some(claim.to_owned()), ..row })
        }
        _ => Ok(row),
    }
}

/// Another node has linked a customer. Answers whether that changed anything.
pub(super) fn take_link(
    db: &Connection,
    name: &str,
    stripe_customer: &str,
    by: LinkedBy,
    linked_at: i64,
    now: i64,
) -> Result<bool> {
    let row = register(db, name, None, now)?;
    let changed = row.stripe_customer.as_deref() != Some(stripe_customer);
    if changed {
        set_link(db, &row, stripe_customer, by, linked_at)?;
    }
    Ok(changed)
}

fn set_link(db: &Connection, row: &CustomerRow, stripe_customer: &str, by: LinkedBy, now: i64) -> Result<()> {
    let by = match by {
        LinkedBy::Claim => "claim",
        LinkedBy::Stripe => "stripe",
    };
    db.execute(
        "UPDATE customers SET stripe_customer = ?2, linked_by = ?3, linked_at = coalesce(linked_at, ?4)
         WHERE number = ?1",
        params![row.number, stripe_customer, by, now],
    )?;
    if row.stripe_customer.is_none() {
        totals::make_sealable(db, row.number, now)?;
    }
    let detail = match &row.stripe_customer {
        None => format!("linked to {stripe_customer} by {by}"),
        Some(before) => format!("link to {before} replaced by {stripe_customer} ({by})"),
    };
    audit::add(db, now, "customer_linked", Some(row.number), &detail)
}

pub(super) fn by_name(db: &Connection, name: &str) -> Result<Option<CustomerRow>> {
    let row = db
        .prepare_cached("SELECT number, name, stripe_customer FROM customers WHERE name = ?1")?
        .query_row([name], read_row)
        .optional()?;
    Ok(row)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<CustomerRow> {
    Ok(CustomerRow { number: row.get(0)?, name: row.get(1)?, stripe_customer: row.get(2)? })
}
