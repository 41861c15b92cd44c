//! Anonymous callers: rows that go once nothing is left that they are for.

use rusqlite::{Connection, params};

use super::{Result, Store, names};

/// Seen before an instant, with no use in a period that ended behind it. The last number of all stays: the next customer
/// would get it.
const AT_REST: &str = "is_anonymous AND first_seen < ?2
    AND NOT EXISTS (SELECT 1 FROM totals WHERE customer = number AND period_end >= ?2)
    AND NOT EXISTS (SELECT 1 FROM overrides WHERE customer = number)
    AND NOT EXISTS (SELECT 1 FROM blocks WHERE customer = number)
    AND NOT EXISTS (SELECT 1 FROM credit_lots WHERE customer = number)
    AND number < (SELECT max(number) FROM customers)";

/// What names them by their number. The audit trail goes in its own time.
const FORGOTTEN: [&str; 4] = [
    "DELETE FROM totals WHERE customer = ?1",
    "DELETE FROM hourly WHERE customer = ?1",
    "DELETE FROM idempotency WHERE customer = ?1",
    "DELETE FROM customers WHERE number = ?1",
];

impl Store {
    /// Names behind one, in their order.
    pub async fn anonymous_at_rest(&self, after: String, before: i64, limit: u32) -> Result<Vec<String>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT name FROM customers WHERE name > ?1 AND {AT_REST} ORDER BY name LIMIT ?3"
            ))?;
            let rows = query.query_map(params![after, before, limit], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Forgets one who is at rest still.
    pub async fn forget_anonymous(&self, name: String, before: i64) -> Result<()> {
        self.write(move |db| forget(db, &name, before)).await
    }
}

fn forget(db: &Connection, name: &str, before: i64) -> Result<()> {
    let mut query =
        db.prepare_cached(&format!("SELECT number FROM customers WHERE name = ?1 AND {AT_REST}"))?;
    let numbers: Vec<u32> =
        query.query_map(params![name, before], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for number in numbers {
        for forget in FORGOTTEN {
            db.prepare_cached(forget)?.execute([number])?;
        }
        names::forget_members(db, number)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, Temporary};

    const MONTH: i64 = 31 * 86_400;

    #[tokio::test]
    async fn who_was_anonymous_long_ago_is_forgotten_and_others_and_the_last_number_stay() {
        let store = Temporary::new();
        let mut numbers = Vec::new();
        for name in ["ip 192.0.2.1", "ip 192.0.2.2", "acme", "ip 192.0.2.3"] {
            numbers.push(store.customer(name.into(), None, NOW).await.expect("registers").number);
        }
        store.set_block(numbers[1], true, "why".into(), "operator", NOW).await.expect("blocks");
        let at_rest = async |before| store.anonymous_at_rest(String::new(), before, 9).await.expect("reads");
        assert_eq!(at_rest(NOW).await, [""; 0]);
        assert_eq!(at_rest(NOW + MONTH).await, ["ip 192.0.2.1"]);
        for name in ["ip 192.0.2.1", "ip 192.0.2.2", "acme", "ip 192.0.2.3"] {
            store.forget_anonymous(name.into(), NOW + MONTH).await.expect("forgets");
        }
        for (name, number) in
            [("ip 192.0.2.2", numbers[1]), ("acme", numbers[2]), ("ip 192.0.2.3", numbers[3])]
        {
            let row = store.find_customer(name.into()).await.expect("reads").expect("stays");
            assert_eq!(row.number, number);
        }
        assert_eq!(store.find_customer("ip 192.0.2.1".into()).await.expect("reads"), None);
        let new = store.customer("ip 192.0.2.1".into(), None, NOW).await.expect("registers").number;
        assert!(!numbers.contains(&new), "no number comes to stand for somebody else");
    }

    #[tokio::test]
    async fn nobody_at_stripe_stands_for_an_anonymous_caller() {
        let store = Temporary::new();
        let link = crate::store::NewLink { customer: "ip 192.0.2.1".into(), stripe_customer: "cus_1".into() };
        assert_eq!(store.link(link, NOW).await.expect("asks"), None);
        assert_eq!(store.find_customer("ip 192.0.2.1".into()).await.expect("reads"), None);
    }
}
