//! Invoices, payment methods, and the history of credits.

use serde_json::json;

use super::{done, post, shop, text};

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_a_customer_whom_stripe_does_not_know_are_empty() {
    let world = shop().await;
    let customer = world.customer("nobody");
    for path in ["/billing/invoices", "/billing/payment-methods", "/billing/credits"] {
        let listed = done(&customer.get(path).await);
        assert_eq!(listed, json!({ "data": [], "has_more": false, "next_cursor": null }), "{path}");
        for wrong in ["limit=0", "limit=x", "limit=1001"] {
            assert_eq!(customer.get(&format!("{path}?{wrong}")).await.refusal().0, 400, "{path} {wrong}");
        }
    }
    assert_eq!(customer.get("/billing/credits?cursor=x").await.refusal(), (400, "bad_request".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_invoices_page_by_page_and_cards_by_their_last_digits() {
    let world = shop().await;
    let customer = world.customer("payer");
    let body = json!({ "tier": "starter", "payment_method": "pm_card_visa" });
    done(&post(&customer, "/billing/subscribe", &body).await);
    done(&post(&customer, "/billing/cancel", &json!({ "at_period_end": false })).await);
    let body = json!({ "tier": "pro", "payment_method": "pm_card_mastercard" });
    done(&post(&customer, "/billing/subscribe", &body).await);

    let mut totals = Vec::new();
    let mut path = "/billing/invoices?limit=1".to_owned();
    loop {
        let page = done(&customer.get(&path).await);
        let invoice = &page["data"][0];
        assert_eq!((&invoice["status"], &invoice["currency"]), (&json!("paid"), &json!("usd")));
        totals.push(text(&invoice["total"]).to_owned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["has_more"], false);
            break;
        };
        path = format!("/billing/invoices?limit=1&cursor={cursor}");
    }
    assert_eq!(
        (totals.first().map(String::as_str), totals.last().map(String::as_str)),
        (Some("99.00"), Some("29.00"))
    );

    let cards = done(&customer.get("/billing/payment-methods").await);
    let brands: Vec<_> =
        cards["data"].as_array().expect("cards").iter().map(|card| text(&card["brand"])).collect();
    assert_eq!(brands, ["mastercard", "visa"]);
    assert_eq!((&cards["data"][1]["last4"], &cards["data"][1]["type"]), (&json!("4242"), &json!("card")));
    world.finish().await;
}
