//! However many spend at once: exactly what there is, and the history says so.

use tokio::task::JoinSet;

use super::{ON_CREDITS, credits, grant, history, sum_of, until_balance};
use crate::harness::{Customer, World};

const CREDITS: u64 = 100;
const SPENDS: usize = 1_000;

/// Asks so often at once; answers how many were charged, refused and lost.
async fn spend(customer: &Customer, path: &'static str, times: usize) -> [usize; 3] {
    let mut asked = JoinSet::new();
    for _ in 0..times {
        let customer = customer.clone();
        asked.spawn(
            async move { customer.try_get(path).await.ok().map(|reply| (reply.charged() > 0, reply)) },
        );
    }
    let mut counts = [0; 3];
    while let Some(answer) = asked.join_next().await {
        match answer.expect("the task ran") {
            Some((true, reply)) => {
                assert_eq!(reply.status, 200);
                counts[0] += 1;
            }
            Some((false, reply)) => {
                assert_eq!(reply.refusal(), (402, "credits_exhausted".to_owned()));
                counts[1] += 1;
            }
            None => counts[2] += 1,
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_spends_at_once_on_a_hundred_credits_get_exactly_a_hundred() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("racer");
    assert_eq!(grant(&world, &customer, CREDITS).await, CREDITS);
    let [charged, refused, lost] = spend(&customer, "/signals", SPENDS).await;
    assert_eq!((charged, refused, lost), (100, 900, 0));
    assert_eq!(world.upstream.hits("/signals"), CREDITS, "what was refused was not forwarded");
    assert_eq!((credits(&customer).await, customer.used().await), (0, CREDITS));
    until_balance(&world, "racer", 0).await;
    assert_eq!(sum_of(&world, "racer", "spent").await, -100);
    assert_eq!(history(&world, "racer").await[0], ("granted".to_owned(), 100));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_takings_amid_the_spends_lose_nothing() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("busy");
    grant(&world, &customer, 50).await;
    let spending = tokio::spawn({
        let customer = customer.clone();
        async move { spend(&customer, "/signals/history/ACME", 400).await }
    });
    for _ in 0..10 {
        grant(&world, &customer, 10).await;
        let take = serde_json::json!({ "amount": -3, "reason": "a test" });
        let reply = super::change(&world, "busy", None, &take).await;
        assert!([200, 409].contains(&reply.status), "{}", reply.text());
    }
    let during = spending.await.expect("the task ran")[0];
    let after = spend(&customer, "/signals/history/ACME", 200).await[0];
    let rest = credits(&customer).await;
    assert!(rest < 2, "{rest} are too few for cost 2");
    until_balance(&world, "busy", rest.cast_signed()).await;
    let taken = sum_of(&world, "busy", "taken").await;
    let spent = i64::try_from(during + after).expect("few") * 2;
    assert_eq!(150 + taken - spent, rest.cast_signed(), "granted, taken and spent");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_amid_a_thousand_spends_neither_loses_nor_repeats_one() {
    let mut world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("survivor");
    grant(&world, &customer, CREDITS).await;
    let spending = tokio::spawn({
        let customer = customer.clone();
        async move { spend_until_gone(&customer).await }
    });
    world.upstream.arrived("/signals", CREDITS / 3).await;
    world.gateway.kill9();
    spending.await.expect("the task ran");
    world.gateway.restart().await;
    let [_, refused, lost] = spend(&customer, "/signals", SPENDS).await;
    assert!(refused >= SPENDS - 100 && lost == 0, "{refused} refused, {lost} lost");
    until_balance(&world, "survivor", 0).await;
    assert_eq!(sum_of(&world, "survivor", "spent").await, -100);
    let (seen, doubtful) = world.seen_of("survivor");
    assert!(seen <= CREDITS && CREDITS <= seen + doubtful, "{seen} seen, {doubtful} in doubt");
    world.finish().await;
}

/// Whoever finds nobody to ask has lost nothing.
async fn spend_until_gone(customer: &Customer) {
    spend(customer, "/signals", SPENDS).await;
}
