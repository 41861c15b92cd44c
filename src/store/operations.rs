//! What customers asked for under an `Idempotency-Key`: begun once, answered once, and the answer kept for a day.
//!
//! An operation that was begun and not answered goes on under the same key: whoever carries it out looks first at
//! what it has done already.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, Store};

/// How long a key stands for what was asked under it; as long as Stripe's own.
const REMEMBERED_SECONDS: i64 = 86_400;
const SLICE: u32 = 1_000;

pub type Sha256Digest = [u8; 32];

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    New,
    /// It was begun before, and its end is unknown.
    Again {
        attempt: u32,
        since: i64,
    },
    Answered(String),
    /// The key stands for another request.
    Another,
}

impl Store {
    /// Notes that an operation begins.
    pub async fn begin_operation(
        &self,
        customer: u32,
        key: Sha256Digest,
        request: Sha256Digest,
        now: i64,
    ) -> Result<Begun> {
        self.write(move |db| begin(db, customer, key, request, now)).await
    }

    pub async fn answer_operation(&self, customer: u32, key: Sha256Digest, answer: String) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE operations SET answer = ?3 WHERE customer = ?1 AND key = ?2")?
                .execute(params![customer, key, answer])?;
            Ok(())
        })
        .await
    }

    /// As if it had never been asked.
    pub async fn forget_operation(&self, customer: u32, key: Sha256Digest) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM operations WHERE customer = ?1 AND key = ?2")?
                .execute(params![customer, key])?;
            Ok(())
        })
        .await
    }

    /// From now on Stripe is sent other keys for it.
    pub async fn next_attempt(&self, customer: u32, key: Sha256Digest) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE operations SET attempt = attempt + 1 WHERE customer = ?1 AND key = ?2",
            )?
            .execute(params![customer, key])?;
            Ok(())
        })
        .await
    }

    /// Removes what no key stands for any more, a slice at a time. Answers whether more may be left.
    pub async fn prune_operations(&self, now: i64) -> Result<bool> {
        let before = now.saturating_sub(REMEMBERED_SECONDS);
        self.write(move |db| {
            Ok(db.prepare_cached(OLD_OPERATIONS)?.execute(params![before, SLICE])? == SLICE as usize)
        })
        .await
    }
}

const OLD_OPERATIONS: &str = "DELETE FROM operations WHERE (customer, key) IN
    (SELECT customer, key FROM operations WHERE at < ?1 LIMIT ?2)";

fn begin(
    db: &Connection,
    customer: u32,
    key: Sha256Digest,
    request: Sha256Digest,
    now: i64,
) -> Result<Begun> {
    let known: Option<(Sha256Digest, u32, Option<String>, i64)> = db
        .prepare_cached(
            "SELECT request, attempt, answer, at FROM operations WHERE customer = ?1 AND key = ?2 AND at >= ?3",
        )?
        .query_row(params![customer, key, now.saturating_sub(REMEMBERED_SECONDS)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    match known {
        Some((known, ..)) if known != request => Ok(Begun::Another),
        Some((_, _, Some(answer), _)) => Ok(Begun::Answered(answer)),
        Some((_, attempt, None, since)) => Ok(Begun::Again { attempt, since }),
        None => {
            db.prepare_cached(
                "INSERT OR REPLACE INTO operations (customer, key, request, at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![customer, key, request, now])?;
            Ok(Begun::New)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_stands_for_one_request_and_its_answer_for_a_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        let (key, request) = ([1; 32], [2; 32]);
        let begin = async |customer, request, now| {
            store.begin_operation(customer, key, request, now).await.expect("the store works")
        };
        assert_eq!(begin(7, request, 100).await, Begun::New);
        assert_eq!(begin(7, request, 101).await, Begun::Again { attempt: 0, since: 100 });
        store.next_attempt(7, key).await.expect("the store works");
        assert_eq!(begin(7, request, 102).await, Begun::Again { attempt: 1, since: 100 });
        assert_eq!(begin(7, [3; 32], 103).await, Begun::Another);
        assert_eq!(begin(8, request, 103).await, Begun::New, "another customer's key");
        store.answer_operation(7, key, "done".to_owned()).await.expect("the store works");
        assert_eq!(begin(7, request, 100 + REMEMBERED_SECONDS).await, Begun::Answered("done".to_owned()));
        assert_eq!(begin(7, [3; 32], 101 + REMEMBERED_SECONDS).await, Begun::New, "a day later");
    }

    #[tokio::test]
    async fn what_is_older_than_a_day_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        for (customer, now) in [(1, 100), (2, 200)] {
            store.begin_operation(customer, [1; 32], [2; 32], now).await.expect("the store works");
        }
        assert!(!store.prune_operations(150 + REMEMBERED_SECONDS).await.expect("the store works"));
        let left = store.read(|db| {
            Ok(db.query_row("SELECT group_concat(customer) FROM operations", [], |row| {
                row.get::<_, String>(0)
            })?)
        });
        assert_eq!(left.await.expect("the store works"), "2");
    }
}
