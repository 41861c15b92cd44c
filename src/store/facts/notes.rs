//! What changes here, noted for the others in the transaction that changes it.

use rusqlite::{Connection, OptionalExtension, params};

use super::{FactsToPut, NOTHING_TOLD, row_of, write_row};
use crate::domain::facts::{
    ApiKey, Entries, Entry, Grant, Holder, Key, Kind, Link, Override, of_subscription, read_subscription,
};
use crate::domain::subscription::Facts;
use crate::store::adjustments::{self, OverrideRow};
use crate::store::{LinkedBy, Result, api_keys, subscriptions};

const MICROS: u64 = 1_000_000;

/// A customer has a link, or another one.
pub fn note_link(db: &Connection, name: &str, by: LinkedBy, stripe_customer: &str, now: i64) -> Result<()> {
    let (stripe_customer, is_claimed) = (stripe_customer.to_owned(), by == LinkedBy::Claim);
    let holder = Holder::Customer(name.to_owned());
    change(db, &holder, |db, facts| {
        let link = Link { stripe_customer: stripe_customer.clone(), is_claimed }.write();
        set(facts, (Kind::LINK, String::new()), Some(link), now);
        first_link(db, name, facts)?;
        subscriptions_of(db, &stripe_customer, facts)
    })
}

/// A subscription has been read and is another one than it was.
pub fn note_subscription(db: &Connection, facts: &Facts) -> Result<()> {
    if !is_shared(db)? {
        return Ok(());
    }
    for holder in holders(db, &facts.stripe_customer)? {
        change(db, &holder, |db, known| level(db, &facts.id, known))?;
    }
    Ok(())
}

/// A customer is blocked for a reason, or no more.
pub fn note_block(db: &Connection, customer: u32, reason: Option<&str>, now: i64) -> Result<()> {
    let body = reason.map(|reason| reason.as_bytes().into());
    of_number(db, customer, |_, facts| {
        set(facts, (Kind::BLOCK, String::new()), body, now);
        Ok(())
    })
}

/// An operator has set something for a customer, or taken it back.
pub fn note_override(db: &Connection, customer: u32, row: Option<&OverrideRow>, now: i64) -> Result<()> {
    let body = row.map(|row| as_told(row).write());
    of_number(db, customer, |_, facts| {
        set(facts, (Kind::OVERRIDE, String::new()), body, now);
        Ok(())
    })
}

/// A customer was granted prepaid units.
pub fn note_grant(db: &Connection, customer: u32, cause: &str, grant: &Grant, now: i64) -> Result<()> {
    of_number(db, customer, |_, facts| {
        set(facts, (Kind::GRANT, cause.to_owned()), Some(grant.write()), now);
        Ok(())
    })
}

/// A key of a customer's was made, or has changed.
pub fn note_api_key(db: &Connection, customer: u32, id: &str, key: &ApiKey, now: i64) -> Result<()> {
    of_number(db, customer, |_, facts| {
        set(facts, (Kind::API_KEY, id.to_owned()), Some(key.write()), now);
        Ok(())
    })
}

/// A customer has been erased: nothing that was told of them before holds.
pub fn note_erasure(db: &Connection, name: &str, now: i64) -> Result<()> {
    change(db, &Holder::Customer(name.to_owned()), |_, facts| {
        if facts.is_erased() {
            return Ok(());
        }
        let last = facts.iter().map(|(_, entry)| entry.at).max().unwrap_or(0);
        let at = micros(now).max(last + 1);
        facts.put((Kind::ERASED, String::new()), Entry { at, body: None });
        Ok(())
    })
}

/// Those behind a customer: their facts as the tables have them. Answers the last of them; `None` at the end.
pub(super) fn gather(db: &Connection, after: u32, limit: u32) -> Result<Option<u32>> {
    let customers: Vec<(u32, String)> = db
        .prepare_cached(
            "SELECT number, name FROM customers WHERE number > ?1 AND erased_at IS NULL ORDER BY number LIMIT ?2",
        )?
        .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (_, name) in &customers {
        change(db, &Holder::Customer(name.clone()), |_, _| Ok(()))?;
    }
    if let Some((last, _)) = customers.last() {
        return Ok(Some(*last));
    }
    let unlinked: Vec<String> = db
        .prepare(
            "SELECT DISTINCT stripe_customer FROM subscriptions s
             WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.stripe_customer = s.stripe_customer)",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in unlinked {
        change(db, &Holder::Stripe(id), |_, _| Ok(()))?;
    }
    Ok(None)
}

fn is_shared(db: &Connection) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM meta WHERE key = 'shared'")?.exists([])?)
}

fn of_number(
    db: &Connection,
    customer: u32,
    edit: impl FnOnce(&Connection, &mut Entries) -> Result<()>,
) -> Result<()> {
    if !is_shared(db)? {
        return Ok(());
    }
    let name: Option<String> = db
        .prepare_cached("SELECT name FROM customers WHERE number = ?1")?
        .query_row([customer], |row| row.get(0))
        .optional()?;
    match name {
        Some(name) => change(db, &Holder::Customer(name), edit),
        None => Ok(()),
    }
}

/// Changes what is told of a holder, if anything is shared; what has not been told yet is gathered first.
fn change(
    db: &Connection,
    holder: &Holder,
    edit: impl FnOnce(&Connection, &mut Entries) -> Result<()>,
) -> Result<()> {
    if !is_shared(db)? {
        return Ok(());
    }
    let known = row_of(db, holder)?;
    let before = known.as_ref().map(|row| row.entries.clone()).unwrap_or_default();
    let mut row = match known {
        Some(row) => row,
        None => new_row(db, holder)?,
    };
    edit(db, &mut row.entries)?;
    if row.entries == before {
        return Ok(());
    }
    row.changes += 1;
    write_row(db, &row)
}

/// Of a holder that nothing was told of: what the tables have.
pub(super) fn new_row(db: &Connection, holder: &Holder) -> Result<FactsToPut> {
    let mut entries = Entries::default();
    match holder {
        Holder::Customer(name) => of_tables(db, name, &mut entries)?,
        Holder::Stripe(id) => subscriptions_of(db, id, &mut entries)?,
    }
    Ok(FactsToPut { holder: holder.clone(), version: NOTHING_TOLD, changes: 0, entries })
}

fn of_tables(db: &Connection, name: &str, facts: &mut Entries) -> Result<()> {
    type Known = (u32, Option<String>, Option<String>, Option<i64>);
    let known: Option<Known> = db
        .prepare_cached(
            "SELECT number, stripe_customer, linked_by, linked_at FROM customers WHERE name = ?1",
        )?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((number, stripe_customer, linked_by, linked_at)) = known else { return Ok(()) };
    if let Some(stripe_customer) = stripe_customer {
        let is_claimed = linked_by.as_deref() == Some("claim");
        let link = Link { stripe_customer: stripe_customer.clone(), is_claimed }.write();
        set(facts, (Kind::LINK, String::new()), Some(link), linked_at.unwrap_or(0));
        subscriptions_of(db, &stripe_customer, facts)?;
    }
    let (row, blocked) = of_operators(db, number)?;
    if let Some((reason, at)) = blocked {
        set(facts, (Kind::BLOCK, String::new()), Some(reason.into_bytes().into()), at);
    }
    if let Some((row, at)) = row {
        set(facts, (Kind::OVERRIDE, String::new()), Some(row.write()), at);
    }
    let mut grants = db.prepare_cached(
        "SELECT cause, at, units, expires_at, reason FROM credits
         WHERE customer = ?1 AND kind = 'granted' AND cause IS NOT NULL",
    )?;
    let mut rows = grants.query([number])?;
    while let Some(row) = rows.next()? {
        let reason: Option<String> = row.get(4)?;
        let units = super::super::unsigned(row.get(2)?);
        let grant = Grant { units, expires_at: row.get(3)?, reason: reason.unwrap_or_default() };
        set(facts, (Kind::GRANT, row.get(0)?), Some(grant.write()), row.get(1)?);
    }
    for (id, key, changed_at) in api_keys::of_customer(db, number)? {
        set(facts, (Kind::API_KEY, id), Some(key.write()), changed_at);
    }
    Ok(())
}

type AtInstant<T> = Option<(T, i64)>;

fn of_operators(db: &Connection, customer: u32) -> Result<(AtInstant<Override>, AtInstant<String>)> {
    let instant = |query: &str| -> Result<Option<i64>> {
        Ok(db.prepare_cached(query)?.query_row([customer], |row| row.get(0)).optional()?)
    };
    let known = adjustments::of(db, customer)?;
    let set_at = instant("SELECT set_at FROM overrides WHERE customer = ?1")?;
    let blocked_at = instant("SELECT at FROM blocks WHERE customer = ?1")?;
    Ok((known.overridden.map(|row| as_told(&row)).zip(set_at), known.blocked.zip(blocked_at)))
}

fn as_told(row: &OverrideRow) -> Override {
    Override {
        tier: row.tier.clone(),
        included: row.included_as_text(),
        until: row.until,
        reason: row.reason.clone(),
    }
}

/// Each as last read. An earlier version of the program counted its readings: then it is when Stripe told.
fn subscriptions_of(db: &Connection, stripe_customer: &str, known: &mut Entries) -> Result<()> {
    let mut query =
        db.prepare_cached("SELECT facts, version FROM subscriptions WHERE stripe_customer = ?1")?;
    let mut rows = query.query([stripe_customer])?;
    while let Some(row) = rows.next()? {
        let facts = subscriptions::read_facts(&row.get::<_, String>(0)?)?;
        let at = super::super::unsigned(row.get(1)?).max(micros(facts.read_at.unwrap_or(0)));
        let body = Some(of_subscription(&facts));
        known.put((Kind::SUBSCRIPTION, facts.id), Entry { at, body });
    }
    Ok(())
}

/// What is told of a subscription and what is known of it here become the same: the later reading, if it says something
/// else, and the first instant at which it was past due. A subscription may be told of to several holders.
pub(super) fn level(db: &Connection, id: &str, told: &mut Entries) -> Result<()> {
    let known: Option<(String, i64)> = db
        .prepare_cached("SELECT facts, version FROM subscriptions WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((facts, version)) = known else { return Ok(()) };
    let (mut facts, version) = (subscriptions::read_facts(&facts)?, super::super::unsigned(version));
    let (key, body) = ((Kind::SUBSCRIPTION, id.to_owned()), of_subscription(&facts));
    if told.get(&key).is_none_or(|entry| entry.at <= version && entry.body.as_ref() != Some(&body)) {
        told.put(key.clone(), Entry { at: version, body: Some(body) });
    }
    let merged = told.get(&key).and_then(|entry| read_subscription(id, entry.at, entry.body.as_deref()?));
    let since = merged.and_then(|merged| merged.past_due_since);
    if let (Some(known), Some(since)) = (facts.past_due_since, since)
        && since < known
    {
        facts.past_due_since = Some(since);
        subscriptions::write_facts(db, &facts)?;
    }
    Ok(())
}

/// Who is told of a Stripe customer's subscriptions.
fn holders(db: &Connection, stripe_customer: &str) -> Result<Vec<Holder>> {
    let mut query = db.prepare_cached("SELECT name FROM customers WHERE stripe_customer = ?1")?;
    let names = query.query_map([stripe_customer], |row| row.get(0))?;
    let holders: Vec<Holder> =
        names.map(|name| name.map(Holder::Customer)).collect::<rusqlite::Result<_>>()?;
    Ok(if holders.is_empty() { vec![Holder::Stripe(stripe_customer.to_owned())] } else { holders })
}

/// When a customer had a first link, where the one that holds came later.
pub(super) fn first_link(db: &Connection, name: &str, facts: &mut Entries) -> Result<()> {
    let first: Option<i64> = db
        .prepare_cached("SELECT linked_at FROM customers WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?
        .flatten();
    let link = facts.get(&(Kind::LINK, String::new())).map(|entry| entry.at / MICROS);
    if let (Some(first), Some(link)) = (first.and_then(|first| u64::try_from(first).ok()), link)
        && first < link
    {
        let entry = Entry { at: first * MICROS, body: None };
        facts.put((Kind::FIRST_LINK, String::new()), entry);
    }
    Ok(())
}

/// Behind what was known of the same, and behind an erasure.
fn set(facts: &mut Entries, key: Key, body: Option<Box<[u8]>>, now: i64) {
    let last = facts.get(&key).map(|entry| entry.at).max(facts.erased_at());
    let at = last.map_or(0, |last| last + 1).max(micros(now));
    facts.put(key, Entry { at, body });
}

fn micros(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(MICROS)
}
