//! What others tell, merged with what is known here and put into force.

use rusqlite::{Connection, OptionalExtension, params};

use super::{FactsVersion, notes, row_of, write_row};
use crate::domain::facts::{
    ApiKey, Entries, Entry, Grant, Holder, Key, Kind, Link, Override, read_subscription,
};
use crate::domain::subscription::Facts;
use crate::store::adjustments::OverrideRow;
use crate::store::{
    LinkedBy, Result, Store, Upsert, adjustments, api_keys, credits, customers, subscriptions, totals,
};

/// What became of facts that others told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Something is in force that was not.
    pub changed: bool,
    /// The latest instant that they name, in microseconds.
    pub latest: u64,
}

impl Store {
    /// Merges what was told of a holder under a version. `understand` says what a subscription means that was read at
    /// an instant, in microseconds. `None`: a later version of the program has written it; it is left as it is.
    pub async fn merge_facts(
        &self,
        holder: Holder,
        version: FactsVersion,
        told: Box<[u8]>,
        now: i64,
        understand: impl Fn(Facts, u64) -> Upsert + Send + 'static,
    ) -> Result<Option<Merged>> {
        self.write(move |db| {
            let merging = Merging { db, holder: &holder, now, understand: &understand };
            merging.merge(version, &told)
        })
        .await
    }
}

struct Merging<'a> {
    db: &'a Connection,
    holder: &'a Holder,
    now: i64,
    understand: &'a dyn Fn(Facts, u64) -> Upsert,
}

impl Merging<'_> {
    fn merge(&self, version: FactsVersion, told: &[u8]) -> Result<Option<Merged>> {
        let known = row_of(self.db, self.holder)?;
        let is_new = known.is_none();
        let mut row = match known {
            Some(row) => row,
            None => notes::new_row(self.db, self.holder)?,
        };
        let Some(mut told) = Entries::read(told) else {
            // Nor are they overwritten.
            (row.version, row.changes) = (row.version.max(version), 0);
            write_row(self.db, &row)?;
            return Ok(None);
        };
        let now_micros = u64::try_from(self.now).unwrap_or(0).saturating_mul(1_000_000);
        told.prune(now_micros);
        let before = row.entries.clone();
        row.entries.prune(now_micros);
        row.entries.merge(&told);
        let mut changed = false;
        for (key, entry) in row.entries.iter().filter(|(key, entry)| before.get(key) != Some(entry)) {
            changed |= self.apply(key, entry)?;
        }
        let subscriptions = row.entries.iter().filter(|((kind, _), _)| *kind == Kind::SUBSCRIPTION);
        for id in subscriptions.map(|((_, id), _)| id.clone()).collect::<Vec<_>>() {
            notes::level(self.db, &id, &mut row.entries)?;
        }
        if let Holder::Customer(name) = self.holder {
            notes::first_link(self.db, name, &mut row.entries)?;
        }
        let knows_more = row.entries != told;
        let is_news = version >= row.version;
        let moved = row.entries != before || is_new;
        row.changes = match (is_news, knows_more) {
            (true, false) => 0,
            (true, true) => row.changes + 1,
            // Late: Redis has later ones, of which this node knows.
            (false, _) => row.changes + i64::from(moved),
        };
        row.version = row.version.max(version);
        write_row(self.db, &row)?;
        let latest = row.entries.iter().map(|(_, entry)| entry.at).max().unwrap_or(0);
        Ok(Some(Merged { changed, latest }))
    }

    /// Answers whether it is understood.
    fn apply(&self, (kind, key): &Key, entry: &Entry) -> Result<bool> {
        if *kind == Kind::SUBSCRIPTION {
            return self.subscription(key, entry);
        }
        let Holder::Customer(name) = self.holder else { return Ok(false) };
        let body = entry.body.as_deref();
        match *kind {
            Kind::LINK => match body.and_then(Link::read) {
                Some(link) => self.link(name, &link, entry.at),
                None => Ok(false),
            },
            Kind::FIRST_LINK => self.first_link(name, entry.at),
            Kind::BLOCK => {
                let reason = body.map(|reason| String::from_utf8_lossy(reason).into_owned());
                adjustments::take_block(self.db, self.number(name)?, reason, seconds(entry.at), self.now)
            }
            Kind::OVERRIDE => {
                let row = body.and_then(Override::read).and_then(|told| read_override(&told));
                let row = row.filter(|row| row.until.is_none_or(|until| until > self.now));
                adjustments::take_override(self.db, self.number(name)?, row, seconds(entry.at), self.now)
            }
            Kind::GRANT => match body.and_then(Grant::read) {
                Some(grant) => {
                    credits::take_grant(self.db, self.number(name)?, key, &grant, seconds(entry.at))
                }
                None => Ok(false),
            },
            Kind::API_KEY => match body.and_then(ApiKey::read) {
                Some(told) => {
                    let at = (seconds(entry.at), self.now);
                    api_keys::take_api_key(self.db, self.number(name)?, key, &told, at)
                }
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    fn number(&self, name: &str) -> Result<u32> {
        Ok(customers::register(self.db, name, None, self.now)?.number)
    }

    fn link(&self, name: &str, link: &Link, at: u64) -> Result<bool> {
        let by = if link.is_claimed { LinkedBy::Claim } else { LinkedBy::Stripe };
        customers::take_link(self.db, name, &link.stripe_customer, by, seconds(at), self.now)
    }

    fn first_link(&self, name: &str, at: u64) -> Result<bool> {
        let earlier = self
            .db
            .prepare_cached("UPDATE customers SET linked_at = ?2 WHERE name = ?1 AND linked_at > ?2")?
            .execute(params![name, seconds(at)])?;
        if earlier > 0 {
            totals::make_sealable(self.db, self.number(name)?, seconds(at))?;
        }
        Ok(earlier > 0)
    }

    /// Unless another holder of the same has brought a later reading.
    fn subscription(&self, id: &str, entry: &Entry) -> Result<bool> {
        let read = entry.body.as_deref().and_then(|body| read_subscription(id, entry.at, body));
        let Some(mut facts) = read else { return Ok(false) };
        let known: Option<(i64, String)> = self
            .db
            .prepare_cached("SELECT version, facts FROM subscriptions WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((version, known)) = known {
            let version = super::super::unsigned(version);
            if version > entry.at {
                return Ok(false);
            }
            let since = subscriptions::read_facts(&known)?.past_due_since.filter(|_| version == entry.at);
            facts.past_due_since = facts.past_due_since.map(|at| since.map_or(at, |since| at.min(since)));
        }
        subscriptions::take_in(self.db, &(self.understand)(facts, entry.at), self.now)
    }
}

fn read_override(told: &Override) -> Option<OverrideRow> {
    let included = told.included.as_deref().map(adjustments::read).transpose();
    if let Err(error) = &included {
        tracing::error!(%error, "an override that another node has set cannot be read");
    }
    Some(OverrideRow {
        tier: told.tier.clone(),
        included: included.ok()?.unwrap_or_default(),
        until: told.until,
        reason: told.reason.clone(),
    })
}

fn seconds(micros: u64) -> i64 {
    i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX)
}
