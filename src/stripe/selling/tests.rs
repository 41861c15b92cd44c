use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::domain::money::Currency;
use crate::domain::offer::Terms;
use crate::stripe::CallError;
use crate::stripe::test_server::{TestServer, says};

fn usd() -> Currency {
    Currency::parse("usd").expect("a currency")
}

fn new(terms: &Terms) -> NewPrice<'_> {
    let lookup_key = "tollgate_pro_calls";
    NewPrice { product: "tollgate_pro", tier: "pro", lookup_key, terms, meter: Some("mtr_1"), replaces: None }
}

#[tokio::test]
async fn the_same_price_has_the_same_key_in_every_run_and_one_that_replaces_another_has_not() {
    let made = || says(200, json!({ "id": "price_9" }));
    let server = TestServer::start([says(429, "{}"), made(), made(), made(), made(), made()]).await;
    let transport = server.transport();
    let terms = Terms::overage(usd(), 10, Decimal::new(7, 2));
    let dearer = Terms::overage(usd(), 10, Decimal::new(8, 2));
    let [one, another] = ["price_1", "price_2"].map(|id| {
        let replaces = Some(PriceInPlace { id, tax_behavior: Some("exclusive") });
        NewPrice { replaces, ..new(&terms) }
    });
    for wanted in [new(&terms), new(&terms), new(&dearer), one, another] {
        assert_eq!(create_price(&transport, &wanted).await.as_deref(), Ok("price_9"));
    }
    let received = server.received();
    let keys: Vec<_> = received.iter().map(|one| one.header("idempotency-key").expect("a key")).collect();
    assert!(keys[0] == keys[1] && keys[1] == keys[2], "of each attempt and of each run: {keys:?}");
    assert!(keys[2] != keys[3] && keys[2] != keys[4] && keys[3] != keys[4], "{keys:?}");
    assert_ne!(keys[4], keys[5], "of the price that it replaces");
    let body = |at: usize| received[at].body.replace("%5B", "[").replace("%5D", "]");
    assert_eq!(
        body(0),
        "product=tollgate_pro&currency=usd&lookup_key=tollgate_pro_calls&recurring[interval]=month\
         &recurring[interval_count]=1&recurring[usage_type]=metered&recurring[meter]=mtr_1&billing_scheme=tiered\
         &tiers_mode=graduated&tiers[0][up_to]=10&tiers[0][unit_amount_decimal]=0&tiers[1][up_to]=inf\
         &tiers[1][unit_amount_decimal]=0.07&metadata[tollgate_tier]=pro\
         &metadata[tollgate_lookup_key]=tollgate_pro_calls"
    );
    assert!(body(4).contains("&transfer_lookup_key=true&tax_behavior=exclusive&"), "{}", body(4));
}

#[tokio::test]
async fn a_price_without_a_free_step_is_a_price_per_unit() {
    let server = TestServer::start([says(200, json!({ "id": "price_9" }))]).await;
    let terms = Terms::overage(usd(), 0, Decimal::new(2, 12));
    create_price(&server.transport(), &new(&terms)).await.expect("made");
    let body = &server.received()[0].body;
    assert!(body.contains("&billing_scheme=per_unit&unit_amount_decimal=0.000000000002&"), "{body}");
}

fn price(change: impl FnOnce(&mut Value)) -> Value {
    let mut price = json!({ "id": "price_1", "active": true, "currency": "usd", "product": "prod_1",
        "lookup_key": "tollgate_pro_calls", "billing_scheme": "tiered", "tiers_mode": "graduated",
        "tax_behavior": "unspecified", "transform_quantity": null, "unit_amount": null,
        "recurring": { "interval": "month", "interval_count": 1, "usage_type": "metered", "meter": "mtr_1" },
        "tiers": [{ "up_to": 10, "unit_amount": 0, "unit_amount_decimal": "0", "flat_amount": null },
                  { "up_to": null, "unit_amount": null, "unit_amount_decimal": "0.07", "flat_amount": null }] });
    change(&mut price);
    price
}

async fn read(price: Value) -> SoldPrice {
    let server = TestServer::start([says(200, price)]).await;
    let found = find_sold_price(&server.transport(), "price_1").await.expect("an answer").expect("a price");
    assert_eq!(server.received()[0].target, "/v1/prices/price_1?expand%5B%5D=tiers");
    found
}

#[tokio::test]
async fn a_price_is_read_with_its_steps_and_with_what_no_terms_can_say() {
    let terms = Terms::overage(usd(), 10, Decimal::new(7, 2));
    let plain = read(price(|_| ())).await;
    assert_eq!(terms.differences(&plain.terms), Vec::<String>::new());
    assert_eq!((plain.oddities.len(), plain.tax_behavior, plain.meter.as_deref()), (0, None, Some("mtr_1")));
    let odd = read(price(|price| {
        price["tiers_mode"] = json!("volume");
        price["transform_quantity"] = json!({ "divide_by": 10, "round": "up" });
        price["tax_behavior"] = json!("exclusive");
        price["tiers"][1]["flat_amount_decimal"] = json!("500");
    }))
    .await;
    assert_eq!((odd.oddities.len(), odd.tax_behavior.as_deref()), (2, Some("exclusive")));
    assert_eq!(odd.terms.steps[1].flat, Decimal::from(500));
}

#[tokio::test]
async fn what_is_no_list_is_an_error_not_nothing() {
    for body in ["{}", "<html>", r#"{"data": [{}]}"#, r#"{"data": [], "has_more": true}"#] {
        let server = TestServer::start([says(200, body), says(200, body)]).await;
        let transport = server.transport();
        let prices = find_sold_prices(&transport, &["tollgate_pro_monthly".to_owned()]).await;
        assert!(matches!(prices, Err(CallError::Unreadable { .. })), "{body}: {prices:?}");
        let products = find_products(&transport, &["tollgate_pro".to_owned()]).await;
        assert!(matches!(products, Err(CallError::Unreadable { .. })), "{body}: {products:?}");
    }
}
