//! Meter events that were without an answer for over 23 hours.

use super::past::{Account, Row, accept, ask, customer, minutes_ago, seal, store, used};
use crate::harness::{PATIENCE, World, until};

/// Rows that were first and last tried a day ago, each of another minute.
fn tried_a_day_ago(world: &World, account: &Account, units: &[i64]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (units, minutes) in units.iter().zip(1_600..) {
        rows.extend(seal(world, std::slice::from_ref(account), "pending", &[(*units, minutes_ago(minutes))]));
        // There is one unanswered row for each period.
        let apart = format!(
            "UPDATE outbox SET period_start = period_start - {minutes} WHERE sequence = (SELECT max(sequence) FROM outbox)"
        );
        store(world).execute(&apart, []).expect("a row");
    }
    rows
}

async fn settled(world: &World) {
    // A minute lies between two readings.
    until("the rows are settled", PATIENCE, async || {
        let earlier = "UPDATE outbox SET compared_at = compared_at - 61, next_try_at = 0
                       WHERE state = 'pending' AND compared_at > unixepoch() - 60";
        store(world).execute(earlier, []).expect("rows");
        (ask::<i64>(world, "SELECT count(*) FROM outbox WHERE state = 'pending'") == 0).then_some(())
    })
    .await;
}

fn of(world: &World, what: &str, row: &Row) -> String {
    ask(world, &format!("SELECT coalesce({what}, '') FROM outbox WHERE identifier = '{}'", row.identifier))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_is_found_in_stripes_sum_and_what_did_not_is_sent_again() {
    let mut world = World::builder().config("[billing]\nreconcile_settle = \"0s\"").start().await;
    let acme = customer(&world, "acme").await;
    world.gateway.stop().await;
    let rows = tried_a_day_ago(&world, &acme, &[5, 7, 11]);
    // The first arrived; the second did not; of the third Stripe holds a part, which nobody can explain.
    accept(&world, &acme, &rows[0]).await;
    let part = Row { identifier: "not-ours".into(), units: 4, at: rows[2].at };
    accept(&world, &acme, &part).await;
    used(&world, &acme, &[(2, rows[0].at + 1), (3, rows[1].at + 1)]).await;
    world.gateway.restart().await;
    settled(&world).await;
    assert_eq!(of(&world, "state", &rows[0]), "delivered");
    assert_eq!(of(&world, "answer", &rows[0]), "found in Stripe's sum");
    assert!(of(&world, "answer", &rows[1]).starts_with("200 accepted"), "sent again");
    assert_eq!(of(&world, "state", &rows[2]), "dead");
    let reason = of(&world, "reason", &rows[2]);
    assert!(reason.contains("holds 4 units") && reason.contains("0 are known"), "{reason}");
    assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 5 + 7 + 4 + 2 + 3);
    super::past::lose(&world, &part).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reading_is_not_believed_and_stripe_gets_its_time() {
    let mut world = World::builder().config("[billing]\nreconcile_settle = \"2h\"").start().await;
    let acme = customer(&world, "acme").await;
    world.gateway.stop().await;
    let row = tried_a_day_ago(&world, &acme, &[5]).remove(0);
    let an_hour_ago = "UPDATE outbox SET last_tried_at = unixepoch() - 3600";
    store(&world).execute(an_hour_ago, []).expect("a row");
    world.gateway.restart().await;
    until("the row waits", PATIENCE, async || {
        of(&world, "reason", &row).contains("compared with Stripe's sum later").then_some(())
    })
    .await;
    assert!(ask::<i64>(&world, "SELECT next_try_at - unixepoch() FROM outbox") > 3_000, "for another hour");
    assert!(ask::<i64>(&world, "SELECT unixepoch() - last_tried_at FROM outbox") >= 3_600, "that was no try");

    let yesterday = "UPDATE outbox SET last_tried_at = last_tried_at - 9999, next_try_at = 0";
    store(&world).execute(yesterday, []).expect("a row");
    until("the sum is read once", PATIENCE, async || {
        of(&world, "reason", &row).contains("read again").then_some(())
    })
    .await;
    assert_eq!(of(&world, "state", &row), "pending");
    // It arrives late, after the first reading: the second one differs, and a third decides.
    accept(&world, &acme, &row).await;
    settled(&world).await;
    assert_eq!(of(&world, "answer", &row), "found in Stripe's sum");
    assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_without_an_answer_is_not_taken_for_the_usage_that_it_stands_in_for() {
    for arrived in [true, false] {
        let mut world = World::builder().config("[billing]\nreconcile_settle = \"0s\"").start().await;
        let acme = customer(&world, "acme").await;
        world.gateway.stop().await;
        let row = tried_a_day_ago(&world, &acme, &[5]).remove(0);
        store(&world).execute("UPDATE outbox SET kind = 'repair'", []).expect("a row");
        let lost = used(&world, &acme, &[(5, row.at + 1)]).await.remove(0);
        super::past::lose(&world, &lost).await;
        if arrived {
            accept(&world, &acme, &row).await;
        }
        world.gateway.restart().await;
        settled(&world).await;
        let answer = if arrived { "found in Stripe's sum" } else { "200 accepted" };
        assert!(of(&world, "answer", &row).starts_with(answer));
        assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 5);
        world.finish().await;
    }
}
