//! Cards, and what happens when they do not pay.

use serde_json::{Value, json};

use super::harness::{Harness, Reply};

const NO_CARD: &str = "This customer has no attached payment source or default payment method.";

impl Harness {
    async fn customer(&self) -> String {
        self.post("/v1/customers", "").await.id()
    }

    /// Attaches one of Stripe's test cards, and returns the customer's own.
    async fn attach(&self, card: &str, customer: &str) -> Reply {
        self.post(&format!("/v1/payment_methods/{card}/attach"), &format!("customer={customer}")).await
    }

    async fn subscribe(&self, customer: &str, more: &str) -> Reply {
        let form = format!("customer={customer}&items[0][price]=price_demo_pro_monthly&{more}");
        self.post("/v1/subscriptions", &form).await
    }

    async fn count(&self, path: &str) -> usize {
        self.get(path).await.json["data"].as_array().map_or(0, Vec::len)
    }
}

fn message(reply: &Reply) -> &str {
    reply.json["error"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_decline_is_402_and_makes_nothing_where_that_was_asked_for() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.customer().await;
    let card = harness.attach("pm_card_chargeCustomerFail", &customer).await.id();
    let form = format!("default_payment_method={card}&payment_behavior=error_if_incomplete");
    let declined = harness.subscribe(&customer, &form).await;
    assert_eq!(declined.status, 402);
    assert_eq!(
        declined.json["error"],
        json!({
            "type": "card_error",
            "code": "card_declined",
            "decline_code": "generic_decline",
            "message": "Your card was declined.",
        })
    );
    assert_eq!(harness.count(&format!("/v1/subscriptions?customer={customer}&status=all")).await, 0);
    assert_eq!(harness.count(&format!("/v1/invoices?customer={customer}")).await, 0);
    assert_eq!(harness.event_types().await, ["customer.created"]);
}

#[tokio::test]
async fn a_decline_leaves_a_new_subscription_incomplete_until_another_card_pays() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.customer().await;
    let card = harness.attach("pm_card_chargeCustomerFail", &customer).await.id();
    let made = harness.subscribe(&customer, &format!("default_payment_method={card}")).await;
    assert_eq!((made.status, &made.json["status"]), (200, &json!("incomplete")));
    let invoice = made.json["latest_invoice"].as_str().expect("an invoice").to_owned();
    let owed = harness.get(&format!("/v1/invoices/{invoice}")).await.json;
    assert_eq!(
        (&owed["status"], &owed["attempt_count"], &owed["amount_remaining"], &owed["next_payment_attempt"]),
        (&json!("open"), &json!(1), &json!(9_900), &Value::Null)
    );
    assert_eq!(
        harness.event_types().await[1..],
        ["customer.subscription.created", "payment_intent.payment_failed", "invoice.payment_failed"]
    );
    assert_eq!(harness.post(&format!("/v1/invoices/{invoice}/pay"), "").await.status, 402);
    let owed = harness.get(&format!("/v1/invoices/{invoice}")).await.json;
    assert_eq!(owed["attempt_count"], 2);
    let works = harness.attach("pm_card_visa", &customer).await.id();
    let paid = harness.post(&format!("/v1/invoices/{invoice}/pay"), &format!("payment_method={works}")).await;
    assert_eq!((&paid.json["status"], &paid.json["attempt_count"]), (&json!("paid"), &json!(3)));
    let active = harness.get(&format!("/v1/subscriptions/{}", made.id())).await.json;
    assert_eq!(active["status"], "active");
    let again = harness.post(&format!("/v1/invoices/{invoice}/pay"), "").await;
    assert_eq!((again.status, message(&again)), (400, "Invoice is already paid"));
}

#[tokio::test]
async fn an_order_that_waits_for_confirmation_is_incomplete_unless_it_costs_nothing() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.customer().await;
    let waits = harness.subscribe(&customer, "payment_behavior=default_incomplete").await;
    assert_eq!(waits.json["status"], "incomplete");
    let types = harness.event_types().await;
    assert!(!types.iter().any(|kind| kind.contains("payment")), "nothing was tried: {types:?}");
    let free = harness
        .post("/v1/prices", "currency=usd&unit_amount=0&recurring[interval]=month&product_data[name]=free")
        .await;
    assert_eq!(free.status, 200);
    let form =
        format!("customer={customer}&items[0][price]={}&payment_behavior=default_incomplete", free.id());
    assert_eq!(harness.post("/v1/subscriptions", &form).await.json["status"], "active");
}

#[tokio::test]
async fn cards_that_nobody_made_default_do_not_pay() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.customer().await;
    let card = harness.attach("pm_card_visa", &customer).await.id();
    let refused = harness.subscribe(&customer, "").await;
    assert_eq!((refused.status, refused.json["error"]["code"].as_str()), (400, Some("resource_missing")));
    assert!(message(&refused).starts_with(NO_CARD), "{}", message(&refused));
    let settings = format!("invoice_settings[default_payment_method]={card}");
    let updated = harness.post(&format!("/v1/customers/{customer}"), &settings).await.json;
    assert_eq!(updated["invoice_settings"]["default_payment_method"], card.as_str());
    assert_eq!(harness.subscribe(&customer, "").await.json["status"], "active");
    let payment = harness.last_event("payment_intent.succeeded").await;
    assert_eq!((&payment["payment_method"], &payment["metadata"]), (&json!(card), &json!({})));
}

#[tokio::test]
async fn a_card_belongs_to_one_customer() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let (alice, bob) = (harness.customer().await, harness.customer().await);
    let card = harness.attach("pm_card_visa", &alice).await;
    assert_ne!(card.id(), "pm_card_visa", "a test card's name stands for a new card");
    assert_eq!((&card.json["customer"], &card.json["card"]["last4"]), (&json!(alice), &json!("4242")));
    let taken = harness.attach(&card.id(), &bob).await;
    assert_eq!(
        (taken.status, message(&taken)),
        (400, "The payment method you provided has already been attached to a customer.")
    );
    let path = |customer: &str| format!("/v1/customers/{customer}/payment_methods/{}", card.id());
    assert_eq!(harness.get(&path(&alice)).await.id(), card.id());
    let foreign = harness.get(&path(&bob)).await;
    assert_eq!((foreign.status, foreign.json["error"]["code"].as_str()), (404, Some("resource_missing")));
    let wanted = format!(
        "The customer does not have a payment method with the ID {}. The payment method must be attached to \
         the customer.",
        card.id()
    );
    for refused in [
        harness.subscribe(&bob, &format!("default_payment_method={}", card.id())).await,
        harness
            .post(
                &format!("/v1/customers/{bob}"),
                &format!("invoice_settings[default_payment_method]={}", card.id()),
            )
            .await,
    ] {
        assert_eq!((refused.status, message(&refused)), (400, wanted.as_str()));
    }
    let lists = [
        format!("/v1/payment_methods?customer={alice}&type=card"),
        format!("/v1/customers/{alice}/payment_methods"),
        format!("/v1/customers/{bob}/payment_methods"),
        format!("/v1/payment_methods?customer={alice}&type=sepa_debit"),
    ];
    let mut counts = Vec::new();
    for list in &lists {
        counts.push(harness.count(list).await);
    }
    assert_eq!(counts, [1, 1, 0, 0]);
    assert_eq!(harness.get("/v1/payment_methods").await.status, 400);
}

#[tokio::test]
async fn a_card_is_described_attached_and_of_no_more_use_once_it_is_detached() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let card = harness.post("/v1/payment_methods", "type=card&card[token]=tok_mastercard").await;
    assert_eq!((&card.json["customer"], &card.json["card"]["brand"]), (&Value::Null, &json!("mastercard")));
    assert_eq!(harness.attach(&card.id(), &customer).await.id(), card.id());
    let detached = harness.post(&format!("/v1/payment_methods/{}/detach", card.id()), "").await;
    assert_eq!((detached.status, &detached.json["customer"]), (200, &Value::Null));
    let again = harness.attach(&card.id(), &customer).await;
    assert!(message(&again).ends_with("may not be used again."), "{}", message(&again));
    assert_eq!(harness.attach("pm_none", &customer).await.status, 404);
    let declined = harness.attach("pm_card_chargeDeclined", &customer).await;
    assert_eq!((declined.status, declined.json["error"]["code"].as_str()), (402, Some("card_declined")));
    for bad in ["type=card", "type=sepa_debit", "type=card&card[token]=tok_none"] {
        assert_eq!(harness.post("/v1/payment_methods", bad).await.status, 400, "{bad}");
    }
    let made = harness
        .post(
            "/v1/customers",
            "payment_method=pm_card_visa&invoice_settings[default_payment_method]=pm_card_visa",
        )
        .await;
    assert!(made.json["invoice_settings"]["default_payment_method"].is_string());
    assert_eq!(harness.post("/v1/customers", "payment_method=pm_card_chargeDeclined").await.status, 402);
}

#[tokio::test]
async fn a_bank_that_declines_by_hook_declines_everywhere_until_it_no_longer_does() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.customer().await;
    let hook = format!("/_sandbox/customers/{customer}/decline");
    harness.post(&hook, "declines=true").await;
    let behavior = "payment_behavior=error_if_incomplete";
    assert_eq!(harness.subscribe(&customer, behavior).await.status, 402);
    let session =
        "mode=subscription&success_url=http://shop.example/&line_items[0][price]=price_demo_pro_monthly";
    let session = harness.post("/v1/checkout/sessions", &format!("{session}&customer={customer}")).await.id();
    let pay = format!("/_sandbox/checkout/{session}/pay");
    assert_eq!(harness.post(&pay, "").await.status, 402);
    harness.post(&hook, "declines=false").await;
    assert_eq!(harness.subscribe(&customer, behavior).await.json["status"], "active");
    assert_eq!(harness.post(&pay, "").await.status, 200);
}

#[tokio::test]
async fn a_decline_is_kept_under_its_key() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.customer().await;
    harness.post(&format!("/_sandbox/customers/{customer}/decline"), "").await;
    let form = format!(
        "customer={customer}&items[0][price]=price_demo_pro_monthly&payment_behavior=error_if_incomplete"
    );
    let create = || harness.request("POST", "/v1/subscriptions", &form).header("idempotency-key", "k1");
    assert_eq!(harness.send(create()).await.status, 402);
    harness.post(&format!("/_sandbox/customers/{customer}/decline"), "declines=false").await;
    let again = harness.send(create()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (402, Some("true")));
}
