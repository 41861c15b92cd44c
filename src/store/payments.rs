//! Payments that Stripe told of: one row for each invoice, and for each payment that is no invoice's.
//!
//! A row says what is known last; what has succeeded never fails again. A payment for a Stripe customer who is nobody
//! yet waits for the link, which makes it due (a trigger of the schema).

use rusqlite::{Connection, OptionalExtension, params};

use super::audit::{self, Act};
use super::{Result, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// `in_…` or `pi_…`.
    pub id: String,
    pub customer: Option<u32>,
    pub stripe_customer: Option<String>,
    pub kind: PaymentKind,
    pub succeeded: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// In minor units of the currency.
    pub amount: i64,
    /// The part of it that is overage.
    pub overage: i64,
    pub currency: String,
    pub at: i64,
    /// Why it failed.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentKind {
    Invoice,
    /// No invoice's.
    Single,
}

impl Store {
    /// Keeps what is known of a payment. Answers whether that is news: it has succeeded, or another attempt failed.
    pub async fn note_payment(&self, row: PaymentRow) -> Result<bool> {
        self.write(move |db| note(db, &row)).await
    }

    /// Whether keeping it would be news.
    pub async fn is_payment_news(&self, row: PaymentRow) -> Result<bool> {
        self.read(move |db| is_news(db, &row)).await
    }

    /// Invoices that have found their customer since they were noted. (A single payment names its customer.)
    pub async fn due_invoices(&self, limit: u32) -> Result<Vec<String>> {
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT id FROM payments WHERE due LIMIT ?1")?;
            let rows = query.query_map([limit], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// What a due invoice stands for has been done.
    pub async fn invoice_is_done(&self, id: String) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE payments SET due = 0 WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
        .await
    }
}

/// Outcome and attempts.
fn known(db: &Connection, id: &str) -> Result<Option<(String, u32)>> {
    let mut query = db.prepare_cached("SELECT outcome, attempts FROM payments WHERE id = ?1")?;
    Ok(query.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

fn is_news(db: &Connection, row: &PaymentRow) -> Result<bool> {
    Ok(match known(db, &row.id)? {
        None => true,
        Some((outcome, _)) if outcome == "succeeded" => false,
        Some((_, attempts)) => row.succeeded || row.attempts > attempts,
    })
}

fn note(db: &Connection, row: &PaymentRow) -> Result<bool> {
    let news = is_news(db, row)?;
    if news {
        // The link may have come since the payer was looked for: then the invoice is due at once.
        db.prepare_cached(
            "WITH payer AS (SELECT min(number) AS late FROM customers WHERE ?2 IS NULL AND stripe_customer = ?3)
             INSERT INTO payments (id, customer, stripe_customer, kind, outcome, attempts, amount_minor,
                                   overage_minor, currency, at, reason, due)
             SELECT ?1, coalesce(?2, late), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, late IS NOT NULL
             FROM payer WHERE TRUE
             ON CONFLICT (id) DO UPDATE SET customer = coalesce(excluded.customer, customer),
                due = max(due, excluded.due),
                outcome = excluded.outcome, attempts = excluded.attempts, amount_minor = excluded.amount_minor,
                overage_minor = excluded.overage_minor, at = excluded.at, reason = excluded.reason",
        )?
        .execute(params![
            row.id,
            row.customer,
            row.stripe_customer,
            match row.kind {
                PaymentKind::Invoice => "invoice",
                PaymentKind::Single => "payment",
            },
            if row.succeeded { "succeeded" } else { "failed" },
            row.attempts,
            row.amount,
            row.overage,
            row.currency,
            row.at,
            row.reason,
        ])?;
        audit::add_act(db, row.at, &act(row))?;
    }
    Ok(news)
}

fn act(row: &PaymentRow) -> Act {
    let PaymentRow { id, amount, currency, attempts, .. } = row;
    Act {
        action: if row.succeeded { "payment_succeeded" } else { "payment_failed" },
        customer: row.customer,
        detail: format!("{id}: {amount} {currency} in minor units, attempt {attempts}"),
        actor: "stripe",
        ..Act::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewLink;

    fn row(succeeded: bool, attempts: u32) -> PaymentRow {
        PaymentRow {
            id: "in_1".to_owned(),
            customer: None,
            stripe_customer: Some("cus_1".to_owned()),
            kind: PaymentKind::Invoice,
            succeeded,
            attempts,
            amount: 9_900,
            overage: 0,
            currency: "usd".to_owned(),
            at: 100,
            reason: None,
        }
    }

    fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        (folder, store)
    }

    #[tokio::test]
    async fn each_attempt_is_news_once_and_what_has_succeeded_never_fails_again() {
        let (_folder, store) = open();
        for (succeeded, attempts, news) in [
            (false, 1, true),
            (false, 1, false),
            (false, 2, true),
            (true, 3, true),
            (true, 3, false),
            (false, 4, false),
        ] {
            let row = row(succeeded, attempts);
            assert_eq!(store.is_payment_news(row.clone()).await.expect("asks"), news);
            assert_eq!(store.note_payment(row).await.expect("notes"), news, "{succeeded} {attempts}");
        }
        let audited = store.audit_rows(None, None, 9).await.expect("reads");
        let actions: Vec<&str> = audited.iter().map(|row| row.action.as_str()).collect();
        assert_eq!(actions, ["payment_succeeded", "payment_failed", "payment_failed"]);
    }

    #[tokio::test]
    async fn a_payment_of_nobody_is_due_as_soon_as_there_is_a_link() {
        let (_folder, store) = open();
        store.note_payment(row(true, 1)).await.expect("notes");
        assert_eq!(store.due_invoices(9).await.expect("reads"), [""; 0]);
        let link = |cus: &str| NewLink { customer: format!("of-{cus}"), stripe_customer: cus.to_owned() };
        store.link(link("cus_2"), 200).await.expect("links");
        assert_eq!(store.due_invoices(9).await.expect("reads"), [""; 0]);
        store.link(link("cus_1"), 200).await.expect("links");
        assert_eq!(store.due_invoices(9).await.expect("reads"), ["in_1"]);
        store.invoice_is_done("in_1".to_owned()).await.expect("notes");
        assert_eq!(store.due_invoices(9).await.expect("reads"), [""; 0]);
    }

    #[tokio::test]
    async fn a_payment_whose_customer_was_linked_while_it_was_looked_at_is_due_at_once() {
        let (_folder, store) = open();
        for name in ["first", "second"] {
            let link = NewLink { customer: name.to_owned(), stripe_customer: "cus_1".to_owned() };
            store.link(link, 100).await.expect("links");
        }
        store.note_payment(row(true, 1)).await.expect("notes");
        assert_eq!(store.due_invoices(9).await.expect("reads"), ["in_1"]);
        let known = PaymentRow { id: "in_2".to_owned(), customer: Some(2), ..row(true, 1) };
        store.note_payment(known).await.expect("notes");
        assert_eq!(store.due_invoices(9).await.expect("reads"), ["in_1"], "whose payer is known is not");
        let audited = store.audit_rows(None, None, 9).await.expect("reads");
        let noted = audited.iter().filter(|row| row.action == "payment_succeeded").count();
        assert_eq!(noted, 2);
    }
}
