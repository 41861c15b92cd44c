//! Checkout sessions begun here. At most one of a kind is open for a customer.

use rusqlite::{OptionalExtension, params};

use super::audit::{Act, add_act};
use super::operations::Sha256Digest;
use super::{Result, Store, signed};

/// What a session sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutKind {
    Tier,
    Credits,
}

impl CheckoutKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Credits => "credits",
        }
    }
}

/// A session as it was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutRow {
    pub session: String,
    pub customer: u32,
    pub kind: CheckoutKind,
    /// "pro monthly", or a credit pack's name.
    pub what: String,
    /// Of a pack.
    pub units: Option<u64>,
    /// Digest of all that was asked for.
    pub request: Sha256Digest,
    pub url: String,
    pub expires_at: i64,
}

/// A session that can still be paid, as far as is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCheckout {
    pub session: String,
    pub request: Sha256Digest,
    pub url: String,
}

impl Store {
    pub async fn open_checkout(&self, customer: u32, kind: CheckoutKind) -> Result<Option<OpenCheckout>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT session, request, url FROM checkouts WHERE customer = ?1 AND kind = ?2 AND state = 'open'",
            )?;
            let found = query.query_row(params![customer, kind.as_str()], |row| {
                Ok(OpenCheckout { session: row.get(0)?, request: row.get(1)?, url: row.get(2)? })
            });
            Ok(found.optional()?)
        })
        .await
    }

    /// Notes a session; one that is known already stays as it is.
    pub async fn add_checkout(&self, row: CheckoutRow, now: i64) -> Result<()> {
        self.write(move |db| {
            let added = db
                .prepare_cached(
                    "INSERT INTO checkouts (session, customer, kind, what, units, request, url, at, expires_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (session) DO NOTHING",
                )?
                .execute(params![
                    row.session,
                    row.customer,
                    row.kind.as_str(),
                    row.what,
                    row.units.map(signed),
                    row.request,
                    row.url,
                    now,
                    row.expires_at,
                ])?;
            if added == 1 {
                let act = Act {
                    action: "checkout_created",
                    customer: Some(row.customer),
                    detail: format!("{} by {}", row.what, row.session),
                    actor: "customer",
                    ..Act::default()
                };
                add_act(db, now, &act)?;
            }
            Ok(())
        })
        .await
    }

    /// Whether a customer has had a trial: noted on the customer, or seen on a subscription.
    pub async fn had_trial(&self, customer: u32) -> Result<bool> {
        self.read(move |db| {
            let had = db
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM customers c WHERE c.number = ?1 AND (c.trial_at IS NOT NULL
                         OR EXISTS (SELECT 1 FROM subscriptions s WHERE s.stripe_customer = c.stripe_customer
                                    AND s.facts ->> '$.trial_start' IS NOT NULL)))",
                )?
                .query_row([customer], |row| row.get(0))?;
            Ok(had)
        })
        .await
    }
}
