//! Who pays for two subscriptions.

use super::{count, sync};
use crate::harness::{PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_once_of_a_customer_who_pays_for_two_subscriptions() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("twice", "starter").await;
    let told = "SELECT count(*) FROM notices WHERE kind = 'subscription.second'";
    assert_eq!(count(&world, told), 0, "one is as it should be");
    let order = [("customer", &*subscribed.customer), ("items[0][price]", "price_it_pro_monthly")];
    let second = world.stripe.post("/v1/subscriptions", &order).await;
    until("it is told", PATIENCE, async || (count(&world, told) == 1).then_some(())).await;
    let noted = "SELECT count(*) FROM audit JOIN customers ON number = customer
                 WHERE action = 'second_subscription' AND name = 'twice'";
    assert_eq!(count(&world, noted), 1);
    assert_eq!(customer.status().await["tier"], "starter", "the one that is later in the file counts");
    sync(&world).await;
    assert_eq!((count(&world, told), count(&world, noted)), (1, 1));
    // None of them is ended from here, and an ended one is no second.
    world.stripe.delete(&format!("/v1/subscriptions/{}", subscribed.subscription)).await;
    customer.until_status("tier", "pro").await;
    assert_eq!(second["status"], "active");
    assert_eq!(count(&world, told), 1);
    world.finish().await;
}
