//! Subscriptions as last read from Stripe.
//!
//! A read takes a version before it asks Stripe, and is stored only over a smaller one: of two reads that overlap,
//! the one that began later wins, whichever ends first.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, Store, StoreError, audit, facts, unsigned};
use crate::domain::period::Period;
use crate::domain::subscription::{Facts, Status};

/// A subscription as read, and when it should be read again.
#[derive(Clone, Debug)]
pub struct Upsert {
    pub facts: Facts,
    pub version: u64,
    pub reread_at: Option<i64>,
    /// The period in which usage counts now; none if it gives no tier.
    pub window: Option<Period>,
    /// Of a customer's subscriptions with a window the highest counts: the place of its tier.
    pub rank: u16,
    /// The tier that its prices stand for.
    pub tier: Option<String>,
    pub amount: Option<Amount>,
    /// Until when its tier is paid for.
    pub paid_until: Option<i64>,
}

/// What is paid for each interval, as Stripe has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// In minor units of the currency: all items that are not metered.
    pub minor: i64,
    /// day, week, month or year.
    pub interval: String,
    pub interval_count: u32,
}

/// A subscription whose period has ended and of which no news came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reread {
    pub id: String,
    pub stripe_customer: String,
}

impl Store {
    /// Stores what was read, unless something newer is there. Answers whether it was stored.
    /// The instant at which a subscription was first seen past due is kept over later reads; `now` is when Stripe was
    /// asked.
    pub async fn upsert_subscription(&self, read: Upsert, now: i64) -> Result<bool> {
        self.write(move |db| upsert(db, read, now)).await
    }

    /// A subscription as last read.
    pub async fn subscription(&self, id: String) -> Result<Option<Facts>> {
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT facts FROM subscriptions WHERE id = ?1")?;
            let text: Option<String> = query.query_row([id], |row| row.get(0)).optional()?;
            text.map(|text| read_facts(&text)).transpose()
        })
        .await
    }

    /// All that is known of a Stripe customer's.
    pub async fn subscriptions_of(&self, stripe_customer: String) -> Result<Vec<Facts>> {
        self.read(move |db| {
            let mut query =
                db.prepare_cached("SELECT facts FROM subscriptions WHERE stripe_customer = ?1 ORDER BY id")?;
            let rows = query.query_map([stripe_customer], |row| row.get::<_, String>(0))?;
            rows.map(|facts| read_facts(&facts?)).collect()
        })
        .await
    }

    /// The subscriptions behind an id, in the order of their ids, `limit` of them: to look through all, a page at a
    /// time.
    pub async fn subscriptions_after(&self, id: String, limit: u32) -> Result<Vec<Facts>> {
        self.scan(move |db| {
            let mut query =
                db.prepare_cached("SELECT facts FROM subscriptions WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let rows = query.query_map(params![id, limit], |row| row.get::<_, String>(0))?;
            rows.map(|facts| read_facts(&facts?)).collect()
        })
        .await
    }

    /// The highest version in use: a process goes on above it.
    pub fn last_version(&self) -> Result<u64> {
        self.read_blocking(|db| {
            let last =
                db.query_row("SELECT coalesce(max(version), 0) FROM subscriptions", [], |row| row.get(0))?;
            Ok(unsigned(last))
        })
    }

    /// Subscriptions to read again; each is put off to `next` meanwhile.
    pub async fn due_rereads(&self, now: i64, next: i64, limit: u32) -> Result<Vec<Reread>> {
        self.write(move |db| {
            let mut query = db.prepare_cached(
                "SELECT id, stripe_customer FROM subscriptions WHERE reread_at <= ?1 ORDER BY reread_at LIMIT ?2",
            )?;
            let due: Vec<Reread> = query
                .query_map(params![now, limit], |row| Ok(Reread { id: row.get(0)?, stripe_customer: row.get(1)? }))?
                .collect::<rusqlite::Result<_>>()?;
            let mut put_off = db.prepare_cached("UPDATE subscriptions SET reread_at = ?2 WHERE id = ?1")?;
            for reread in &due {
                put_off.execute(params![reread.id, next])?;
            }
            Ok(due)
        })
        .await
    }

    /// A subscription that cannot be read any more is not asked for again by itself.
    pub async fn forget_reread(&self, id: String) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE subscriptions SET reread_at = NULL WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
        .await
    }

    pub async fn set_listed(&self, stripe_customer: String, now: i64) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO listed VALUES (?1, ?2)")?
                .execute(params![stripe_customer, now])?;
            Ok(())
        })
        .await
    }
}

fn upsert(db: &Connection, mut read: Upsert, now: i64) -> Result<bool> {
    let known: Option<(String, u64, Option<String>)> = db
        .prepare_cached("SELECT facts, version, tier FROM subscriptions WHERE id = ?1")?
        .query_row([&read.facts.id], |row| Ok((row.get(0)?, unsigned(row.get(1)?), row.get(2)?)))
        .optional()?;
    if known.as_ref().is_some_and(|(_, version, _)| *version >= read.version) {
        return Ok(false);
    }
    let had_tier = known.as_ref().is_some_and(|(_, _, tier)| tier.is_some());
    let before = known.map(|(facts, ..)| read_facts(&facts)).transpose()?;
    read.facts.past_due_since = match read.facts.status {
        Status::PastDue => Some(before.as_ref().and_then(|facts| facts.past_due_since).unwrap_or(now)),
        _ => None,
    };
    read.facts.read_at = Some(now);
    in_force(db, &read, before.as_ref(), now)?;
    if read.tier.is_none() && read.facts.status.is_live() {
        note_unknown_prices(db, before.as_ref().filter(|_| !had_tier), &read.facts, now)?;
    }
    facts::note_subscription(db, &read.facts)?;
    Ok(true)
}

/// Another node has read it; when, and since when it is past due, is told. Answers whether that changed anything.
pub(super) fn take_in(db: &Connection, read: &Upsert, now: i64) -> Result<bool> {
    let known: Option<String> = db
        .prepare_cached("SELECT facts FROM subscriptions WHERE id = ?1")?
        .query_row([&read.facts.id], |row| row.get(0))
        .optional()?;
    let before = known.map(|facts| read_facts(&facts)).transpose()?;
    in_force(db, read, before.as_ref(), now)?;
    // Whoever told of it has asked Stripe.
    db.prepare_cached("INSERT OR IGNORE INTO listed VALUES (?1, ?2)")?
        .execute(params![read.facts.stripe_customer, now])?;
    Ok(before.as_ref() != Some(&read.facts))
}

fn in_force(db: &Connection, read: &Upsert, before: Option<&Facts>, now: i64) -> Result<()> {
    put(db, read)?;
    if read.facts.trial_start.is_some() {
        db.prepare_cached(
            "UPDATE customers SET trial_at = ?2 WHERE stripe_customer = ?1 AND trial_at IS NULL",
        )?
        .execute(params![read.facts.stripe_customer, read.facts.trial_start])?;
    }
    let status = before.map(|facts| facts.status);
    if status != Some(read.facts.status) {
        let from = status.map_or("unknown", Status::as_str);
        let detail = format!("{}: {from} -> {}", read.facts.id, read.facts.status.as_str());
        audit::add(db, now, "subscription_status", None, &detail)?;
    }
    Ok(())
}

/// The same as they were understood, but for an instant.
pub(super) fn write_facts(db: &Connection, facts: &Facts) -> Result<()> {
    let text = serde_json::to_string(facts).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    db.prepare_cached("UPDATE subscriptions SET facts = ?2 WHERE id = ?1")?
        .execute(params![facts.id, text])?;
    Ok(())
}

/// A subscription to nothing that is sold here leaves the customer on the default tier: noted once for its prices.
fn note_unknown_prices(db: &Connection, noted: Option<&Facts>, facts: &Facts, now: i64) -> Result<()> {
    let prices =
        |facts: &Facts| facts.items.iter().map(|item| item.price.clone()).collect::<Vec<_>>().join(", ");
    if noted.is_some_and(|noted| prices(noted) == prices(facts)) {
        return Ok(());
    }
    let detail = format!("{}: no tier names {}", facts.id, prices(facts));
    tracing::warn!(detail, "a subscription has no tier");
    audit::add(db, now, "price_unknown", None, &detail)
}

fn put(db: &Connection, read: &Upsert) -> Result<()> {
    let facts =
        serde_json::to_string(&read.facts).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO subscriptions
             (id, stripe_customer, facts, version, reread_at, window_start, window_end, window_rank, status, tier,
              amount_minor, interval, interval_count, currency, read_at, paid_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        read.facts.id,
        read.facts.stripe_customer,
        facts,
        super::signed(read.version),
        read.reread_at,
        read.window.map(|window| window.start),
        read.window.map(|window| window.end),
        read.rank,
        read.facts.status.as_str(),
        read.tier,
        read.amount.as_ref().map(|amount| amount.minor),
        read.amount.as_ref().map(|amount| &amount.interval),
        read.amount.as_ref().map(|amount| amount.interval_count),
        read.facts.currency,
        read.facts.read_at,
        read.paid_until,
    ])?;
    Ok(())
}

pub(super) fn read_facts(text: &str) -> Result<Facts> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable(format!("a subscription: {error}")))
}
