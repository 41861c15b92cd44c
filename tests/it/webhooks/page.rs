//! A buyer in front of the checkout page.

use crate::harness::{CheckoutPage, PATIENCE, Stripe, World, until};

const PRO: [&str; 2] = ["price_it_pro_monthly", "price_it_pro_api_calls"];

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_whose_card_is_declined_stays_on_free_until_another_card_pays() {
    let world = World::start().await;
    let customer = world.customer("buyer");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let session = world.stripe.order("buyer", &PRO).await;
    let mut page = CheckoutPage::open(session["url"].as_str().expect("a page")).await;
    assert_eq!(page.cancel().as_deref(), Some("http://127.0.0.1/shop?a=1&b=2"));
    page.decline().await;
    assert!(page.says("Your card was declined.") && page.is_open());
    assert_eq!(customer.status().await["tier"], "free");

    let back = page.pay().await;
    let id = session["id"].as_str().expect("an id");
    assert_eq!(back, format!("http://127.0.0.1/thanks?session={id}"));
    until("the tier that was paid for is in force", PATIENCE, async || {
        (customer.status().await["tier"] == "pro").then_some(())
    })
    .await;
    let paid = CheckoutPage::open(session["url"].as_str().expect("a page")).await;
    assert!(paid.says("Already paid") && !paid.is_open());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_events_is_read() {
    let stripe = Stripe::alone().await;
    for _ in 0..60 {
        stripe.subscribe("pro", None);
    }
    let events = stripe.events().await;
    assert_eq!(events.iter().filter(|event| event["type"] == "customer.created").count(), 60);
    let times: Vec<_> = events.iter().map(|event| event["created"].as_i64().expect("a time")).collect();
    assert!(times.is_sorted() && events.len() > 100, "oldest first");
}
