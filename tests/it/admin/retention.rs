//! What is settled goes after the time that the configuration gives it.

use rusqlite::Connection;

use crate::harness::{PATIENCE, World, until};

const KEPT: &str = r#"
    [retention]
    logs = "200d"
    webhooks = "300d"
    financial = "400d"
"#;

/// Two rows of each kind, a day younger and a day older than what is kept.
fn fill(store: &Connection) {
    for (kind, days) in [("checkout", 200), ("event", 300), ("payment", 400)] {
        for (age, days) in [("young", days - 1), ("old", days + 1)] {
            let add = match kind {
                "checkout" => {
                    "INSERT INTO checkouts (session, customer, kind, what, request, state, at, expires_at)
                     SELECT ?1, 1, 'tier', 'pro monthly', x'00', 'expired', unixepoch() - ?2, 0"
                }
                "event" => {
                    "INSERT INTO inbox (event_id, type, created, received_at, facts, state, settled_at)
                     SELECT ?1, 'charge.succeeded', 0, now, '{}', 'done', now FROM (SELECT unixepoch() - ?2 AS now)"
                }
                _ => {
                    "INSERT INTO payments (id, kind, outcome, amount_minor, currency, at)
                     SELECT ?1, 'invoice', 'succeeded', 9900, 'usd', unixepoch() - ?2"
                }
            };
            let row = (format!("{age} {kind}"), i64::from(days) * 86_400);
            store.execute(add, row).expect("a row");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_kept_for_as_long_as_the_configuration_says() {
    let mut world = World::builder().config(KEPT).start().await;
    world.gateway.stop().await;
    fill(&Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store"));
    world.gateway.restart().await;
    let left = "SELECT group_concat(name, ', ' ORDER BY name) FROM (SELECT session AS name FROM checkouts
                UNION SELECT event_id FROM inbox WHERE event_id LIKE '% event' UNION SELECT id FROM payments)";
    until("what is old has gone", PATIENCE, async || {
        let left: String = world.store().query_row(left, [], |row| row.get(0)).expect("rows");
        (!left.contains("old")).then(|| assert_eq!(left, "young checkout, young event, young payment"))
    })
    .await;
    world.finish().await;
}
