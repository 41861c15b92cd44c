//! Anonymous callers: rows that go once nothing is left that they are for.

use rusqlite::{Connection, params};

use super::{Result, Store, names};

/// Somebody of whom nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRest {
    pub name: String,
    /// Their place in the order of these: when they were first seen, and their number.
    pub place: (i64, u32),
}

/// Seen before an instant, with no use in a period that ended behind it. The last number of all stays: the next
/// customer would get it.
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
    /// Those behind a place, the longest known first.
    pub async fn anonymous_at_rest(&self, after: (i64, u32), before: i64, limit: u32) -> Result<Vec<AtRest>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT name, first_seen, number FROM customers
                 WHERE (first_seen, number) > (?1, ?3) AND {AT_REST} ORDER BY first_seen, number LIMIT ?4"
            ))?;
            let rows = query.query_map(params![after.0, before, after.1, limit], |row| {
                Ok(AtRest { name: row.get(0)?, place: (row.get(1)?, row.get(2)?) })
            })?;
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
    async fn who_is_at_rest_is_found_without_looking_at_those_who_were_seen_lately() {
        let store = Temporary::new();
        let plan = store.read(|db| {
            let query = format!(
                "EXPLAIN QUERY PLAN SELECT name FROM customers
                 WHERE (first_seen, number) > (?1, ?3) AND {} ORDER BY first_seen, number",
                super::AT_REST
            );
            let mut query = db.prepare(&query)?;
            let steps = query.query_map(rusqlite::params![0, 0, 0], |row| row.get::<_, String>(3))?;
            Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?)
        });
        let plan = plan.await.expect("plans");
        let by_index = |step: &String| step.contains("customers_anonymous (first_seen>? AND first_seen<?)");
        assert!(plan.iter().any(by_index), "{plan:?}");
        assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{plan:?}");
    }

    #[tokio::test]
    async fn who_was_anonymous_long_ago_is_forgotten_and_others_and_the_last_number_stay() {
        let store = Temporary::new();
        let mut numbers = Vec::new();
        for name in ["ip 192.0.2.1", "ip 192.0.2.2", "acme", "ip 192.0.2.3"] {
            numbers.push(store.customer(name.into(), None, NOW).await.expect("registers").number);
        }
        store.set_block(numbers[1], true, "why".into(), "operator", NOW).await.expect("blocks");
        let at_rest = async |before| -> Vec<String> {
            let found = store.anonymous_at_rest((0, 0), before, 9).await.expect("reads");
            found.into_iter().map(|found| found.name).collect()
        };
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
