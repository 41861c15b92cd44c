//! The end of a checkout session that was begun here.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, Store};

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutEnd {
    Completed,
    Expired,
}

impl CheckoutEnd {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Expired => "expired",
        }
    }
}

/// What a session was begun for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunCheckout {
    pub customer: u32,
    /// A credit pack's name, or a tier and its cycle.
    pub what: String,
    /// Of a credit pack.
    pub units: Option<u64>,
    /// open, completed or expired.
    pub state: String,
}

impl Store {
    /// What a session was begun for; none if it was not begun here.
    pub async fn begun_checkout(&self, session: String) -> Result<Option<BegunCheckout>> {
        self.read(move |db| begun(db, &session)).await
    }

    /// Closes a session; answers whether that is news. What is completed stays so; one that was begun elsewhere is
    /// none of ours.
    pub async fn end_checkout(&self, session: String, end: CheckoutEnd) -> Result<bool> {
        self.write(move |db| {
            let ended = db
                .prepare_cached(
                    "UPDATE checkouts SET state = ?2, url = NULL
                     WHERE session = ?1 AND state <> ?2 AND state <> 'completed'",
                )?
                .execute(params![session, end.as_str()])?;
            Ok(ended == 1)
        })
        .await
    }
}

fn begun(db: &Connection, session: &str) -> Result<Option<BegunCheckout>> {
    let mut query =
        db.prepare_cached("SELECT customer, what, units, state FROM checkouts WHERE session = ?1")?;
    let row = query.query_row([session], |row| {
        let units: Option<i64> = row.get(2)?;
        Ok(BegunCheckout {
            customer: row.get(0)?,
            what: row.get(1)?,
            units: units.and_then(|units| u64::try_from(units).ok()),
            state: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}
