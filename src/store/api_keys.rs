//! API keys: what is kept of them, and who made, replaced and revoked them.
//!
//! A change, its audit row and what other nodes are told of it stand or fall together. No row holds a key: its digest
//! lets it be known again, and not be made.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Act};
use super::{Result, Store, StoreError, customers, facts};
use crate::domain::facts::ApiKey;

/// Whose change it is where another node has told of it, in the audit trail.
const FLEET: &str = "fleet";
const COLUMNS: &str =
    "k.id, k.digest, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.replaced_by,
    k.number, c.name, k.customer, k.last_used";

/// One that is to be kept.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub id: String,
    /// SHA-256 over its text.
    pub digest: [u8; 32],
    /// Made if it is new.
    pub customer: String,
    /// Who stands for the customer at Stripe from now on, whatever was linked before.
    pub stripe_customer: Option<String>,
    pub name: String,
    /// `None`: everything.
    pub scopes: Option<Vec<String>>,
    pub expires_at: Option<i64>,
}

/// One that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    pub id: String,
    pub key: ApiKey,
    /// Its place in lists.
    pub number: i64,
    pub customer: String,
    /// On this node, to the minute.
    pub last_used: Option<i64>,
    customer_number: u32,
}

/// What takes the place of a key.
#[derive(Clone, Debug)]
pub struct Replacement {
    pub id: String,
    pub digest: [u8; 32],
    pub expires_at: Option<i64>,
    /// When the one before it expires, unless that is sooner anyhow.
    pub until: i64,
}

/// What became of the wish to replace a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The new one.
    By(ApiKeyRow),
    Unknown,
    /// It is not in force any more, or another one has its place already.
    NotInForce(ApiKeyRow),
}

impl ApiKeyRow {
    pub fn is_in_force(&self, now: i64) -> bool {
        self.key.revoked_at.is_none() && self.key.expires_at.is_none_or(|at| at > now)
    }
}

impl Store {
    pub async fn add_api_key(&self, new: NewApiKey, actor: &'static str, now: i64) -> Result<ApiKeyRow> {
        self.write(move |db| {
            let claimed = new.stripe_customer.as_deref();
            let customer = customers::register(db, &new.customer, claimed, now)?.number;
            let NewApiKey { id, digest, name, scopes, expires_at, .. } = new;
            let key = ApiKey {
                digest,
                name,
                scopes,
                created_at: now,
                expires_at,
                revoked_at: None,
                replaced_by: None,
            };
            free(db, &id)?;
            put(db, customer, &id, &key, now)?;
            note(db, customer, &id, &key, now)?;
            trail(db, "key_created", actor, customer, (&id, &key), now)?;
            Ok(by_id(db, &id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
        })
        .await
    }

    /// Makes a key for the same customer, with the same scopes; both work for a while.
    pub async fn replace_api_key(
        &self,
        id: String,
        new: Replacement,
        actor: &'static str,
        now: i64,
    ) -> Result<Replaced> {
        self.write(move |db| {
            let Some(before) = by_id(db, &id)? else { return Ok(Replaced::Unknown) };
            if !before.is_in_force(now) || before.key.replaced_by.is_some() {
                return Ok(Replaced::NotInForce(before));
            }
            free(db, &new.id)?;
            let customer = before.customer_number;
            let ends = before.key.expires_at.map_or(new.until, |at| at.min(new.until));
            let old =
                ApiKey { expires_at: Some(ends), replaced_by: Some(new.id.clone()), ..before.key.clone() };
            let key =
                ApiKey { digest: new.digest, created_at: now, expires_at: new.expires_at, ..before.key };
            for (id, key) in [(&new.id, &key), (&id, &old)] {
                put(db, customer, id, key, now)?;
                note(db, customer, id, key, now)?;
            }
            trail(db, "key_rotated", actor, customer, (&id, &old), now)?;
            let made = by_id(db, &new.id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok(Replaced::By(made))
        })
        .await
    }

    /// From now on it is refused. `None`: there is none of that id. One that is revoked stays as it is.
    pub async fn revoke_api_key(
        &self,
        id: String,
        actor: &'static str,
        now: i64,
    ) -> Result<Option<ApiKeyRow>> {
        self.write(move |db| {
            let Some(before) = by_id(db, &id)? else { return Ok(None) };
            if before.key.revoked_at.is_none() {
                let customer = before.customer_number;
                let key = ApiKey { revoked_at: Some(now), ..before.key };
                put(db, customer, &id, &key, now)?;
                note(db, customer, &id, &key, now)?;
                trail(db, "key_revoked", actor, customer, (&id, &key), now)?;
            }
            by_id(db, &id)
        })
        .await
    }

    pub async fn api_key(&self, id: String) -> Result<Option<ApiKeyRow>> {
        self.read(move |db| by_id(db, &id)).await
    }

    /// All of them behind a number, of one customer or of all, in the order in which they were made.
    pub async fn api_keys(&self, customer: Option<String>, after: i64, limit: u32) -> Result<Vec<ApiKeyRow>> {
        self.scan(move |db| {
            let which =
                if customer.is_some() { "k.customer = c.number AND c.name = ?3" } else { "?3 IS NULL" };
            let mut query = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM api_keys k JOIN customers c ON c.number = k.customer
                 WHERE k.number > ?1 AND {which} ORDER BY k.number LIMIT ?2"
            ))?;
            let rows = query.query_map(params![after, limit, customer], read_row)?;
            rows.map(|row| row?).collect()
        })
        .await
    }

    /// A customer's, those that are in force.
    pub async fn api_keys_in_force(&self, customer: String, now: i64) -> Result<Vec<ApiKeyRow>> {
        self.read(move |db| in_force(db, (&customer, &customer), now)).await
    }

    /// The same of all customers from one name to another, in the order of their names.
    pub async fn api_keys_in_force_between(
        &self,
        (first, last): (String, String),
        now: i64,
    ) -> Result<Vec<ApiKeyRow>> {
        self.scan(move |db| in_force(db, (&first, &last), now)).await
    }

    /// Names of customers who have keys, behind one, in their order.
    pub async fn customers_with_api_keys(&self, after: String, limit: u32) -> Result<Vec<String>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT name FROM customers c WHERE name > ?1
                 AND EXISTS (SELECT 1 FROM api_keys WHERE customer = c.number) ORDER BY name LIMIT ?2",
            )?;
            let rows = query.query_map(params![after, limit], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// When keys were last used.
    pub async fn note_api_key_uses(&self, uses: Vec<(String, i64)>) -> Result<()> {
        self.write(move |db| {
            let mut note = db.prepare_cached("UPDATE api_keys SET last_used = ?2 WHERE id = ?1")?;
            for (id, at) in uses {
                note.execute(params![id, at])?;
            }
            Ok(())
        })
        .await
    }
}

/// Another node has told of a key. Answers whether that changed anything.
pub(super) fn take_api_key(
    db: &Connection,
    customer: u32,
    id: &str,
    told: &ApiKey,
    (at, now): (i64, i64),
) -> Result<bool> {
    let before = by_id(db, id)?;
    // What was revoked here stays so, and a key never changes hands.
    let holds = |before: &ApiKeyRow| before.customer_number != customer || before.key.revoked_at.is_some();
    if before.as_ref().is_some_and(|before| before.key == *told || holds(before)) {
        return Ok(false);
    }
    put(db, customer, id, told, at)?;
    let action = match (&before, told.revoked_at, &told.replaced_by) {
        (_, Some(_), _) => "key_revoked",
        (_, _, Some(_)) => "key_rotated",
        (None, ..) => "key_created",
        _ => "key_changed",
    };
    trail(db, action, FLEET, customer, (id, told), now)?;
    Ok(true)
}

/// A customer's keys, and when each last changed.
pub(super) fn of_customer(db: &Connection, customer: u32) -> Result<Vec<(String, ApiKey, i64)>> {
    let mut query = db.prepare_cached(
        "SELECT id, digest, name, scopes, created_at, expires_at, revoked_at, replaced_by, changed_at
         FROM api_keys WHERE customer = ?1",
    )?;
    let rows = query.query_map([customer], |row| Ok((row.get(0)?, read_key(row), row.get(8)?)))?;
    rows.map(|row| row.map_err(StoreError::from).and_then(|(id, key, at)| Ok((id, key?, at)))).collect()
}

fn in_force(db: &Connection, (first, last): (&str, &str), now: i64) -> Result<Vec<ApiKeyRow>> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM customers c JOIN api_keys k ON k.customer = c.number
         WHERE c.name BETWEEN ?1 AND ?2 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?3)
         ORDER BY c.name, k.number"
    ))?;
    let rows = query.query_map(params![first, last, now], read_row)?;
    rows.map(|row| row?).collect()
}

fn by_id(db: &Connection, id: &str) -> Result<Option<ApiKeyRow>> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM api_keys k JOIN customers c ON c.number = k.customer WHERE k.id = ?1"
    ))?;
    query.query_row([id], read_row).optional()?.transpose()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Result<ApiKeyRow>> {
    let key = match read_key(row) {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(ApiKeyRow {
        id: row.get(0)?,
        key,
        number: row.get(8)?,
        customer: row.get(9)?,
        customer_number: row.get(10)?,
        last_used: row.get(11)?,
    }))
}

/// The second to the eighth column.
fn read_key(row: &Row<'_>) -> Result<ApiKey> {
    let scopes: Option<String> = row.get(3)?;
    let scopes = scopes.map(|text| serde_json::from_str(&text)).transpose();
    Ok(ApiKey {
        digest: row.get(1)?,
        name: row.get(2)?,
        scopes: scopes.map_err(|error| StoreError::Unreadable(error.to_string()))?,
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        revoked_at: row.get(6)?,
        replaced_by: row.get(7)?,
    })
}

/// Ids are random: one that is there already would change somebody's key.
fn free(db: &Connection, id: &str) -> Result<()> {
    match by_id(db, id)? {
        None => Ok(()),
        Some(_) => Err(StoreError::Unreadable(format!("there is a key of the id {id} already"))),
    }
}

fn put(db: &Connection, customer: u32, id: &str, key: &ApiKey, at: i64) -> Result<()> {
    let ApiKey { digest, name, scopes, created_at, expires_at, revoked_at, replaced_by } = key;
    let scopes = scopes.as_ref().map(|scopes| serde_json::json!(scopes).to_string());
    db.prepare_cached(
        "INSERT INTO api_keys (id, digest, customer, name, scopes, created_at, expires_at, revoked_at, replaced_by,
                               changed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET name = ?4, scopes = ?5, expires_at = ?7, revoked_at = ?8, replaced_by = ?9,
                                        changed_at = ?10",
    )?
    .execute(params![
        id, digest, customer, name, scopes, created_at, expires_at, revoked_at, replaced_by, at
    ])?;
    Ok(())
}

fn note(db: &Connection, customer: u32, id: &str, key: &ApiKey, now: i64) -> Result<()> {
    facts::note_api_key(db, customer, id, key, now)
}

fn trail(
    db: &Connection,
    action: &'static str,
    actor: &'static str,
    customer: u32,
    (id, key): (&str, &ApiKey),
    now: i64,
) -> Result<()> {
    let detail = match &key.replaced_by {
        Some(by) if action == "key_rotated" => format!("{id} {:?} replaced by {by}", key.name),
        _ => format!("{id} {:?}", key.name),
    };
    audit::add_act(db, now, &Act { action, customer: Some(customer), detail, actor, ..Act::default() })
}

#[cfg(test)]
#[path = "api_keys_tests.rs"]
mod tests;
