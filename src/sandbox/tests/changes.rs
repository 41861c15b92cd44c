//! Changing a subscription.

use serde_json::{Value, json};

use super::harness::{Harness, Reply};

struct Shop {
    harness: Harness,
    customer: String,
    path: String,
    /// The flat and the metered item.
    items: [String; 2],
    /// 499 USD a month.
    big: String,
}

impl Shop {
    async fn open() -> Self {
        let harness = Harness::start().await;
        harness.seed_pro();
        let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
        let path = format!("/v1/subscriptions/{}", pro.subscription);
        let subscription = harness.get(&path).await.json;
        let item = |at: usize| subscription["items"]["data"][at]["id"].as_str().expect("an id").to_owned();
        let big = "currency=usd&unit_amount=49900&recurring[interval]=month&product_data[name]=big";
        let big = harness.post("/v1/prices", big).await.id();
        Self { items: [item(0), item(1)], customer: pro.customer, path, big, harness }
    }

    async fn change(&self, form: &str) -> Reply {
        self.harness.post(&self.path, form).await
    }

    fn upgrade(&self) -> String {
        format!("items[0][id]={}&items[0][price]={}", self.items[0], self.big)
    }

    async fn subscription(&self) -> Value {
        self.harness.get(&self.path).await.json
    }

    /// The newest invoice.
    async fn invoice(&self) -> Value {
        let list = format!("/v1/invoices?customer={}&limit=1", self.customer);
        self.harness.get(&list).await.json["data"][0].take()
    }
}

fn param(reply: &Reply) -> (u16, Option<&str>) {
    (reply.status, reply.json["error"]["param"].as_str())
}

#[tokio::test]
async fn an_item_is_deleted_by_its_id_and_the_last_one_stays() {
    let shop = Shop::open().await;
    let gone = format!("items[0][id]={}&items[0][deleted]=true&items[0][clear_usage]=true", shop.items[1]);
    let left = shop.change(&gone).await.json;
    assert_eq!(left["items"]["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["items"]["data"][0]["id"], shop.items[0].as_str());
    let last = format!("items[0][id]={}&items[0][deleted]=true", shop.items[0]);
    assert_eq!(param(&shop.change(&last).await), (400, Some("items")));
    let swap = format!("{last}&items[1][price]={}", shop.big);
    let swapped = shop.change(&swap).await.json;
    assert_eq!(swapped["items"]["data"][0]["price"]["id"], shop.big.as_str());
    assert_ne!(swapped["items"]["data"][0]["id"], shop.items[0].as_str(), "another item, not the old one");
}

#[tokio::test]
async fn flat_and_metered_items_are_replaced_in_one_call() {
    let shop = Shop::open().await;
    let meter = shop.harness.get("/v1/billing/meters").await.json["data"][0]["id"].take();
    let metered = format!(
        "currency=usd&billing_scheme=tiered&tiers_mode=graduated&recurring[interval]=month&recurring[usage_type]=metered\
         &recurring[meter]={}&tiers[0][up_to]=inf&tiers[0][unit_amount]=1&product_data[name]=big",
        meter.as_str().expect("an id")
    );
    let metered = shop.harness.post("/v1/prices", &metered).await.id();
    let form = format!("{}&items[1][id]={}&items[1][price]={metered}", shop.upgrade(), shop.items[1]);
    let after = shop.change(&form).await.json;
    let kept: Vec<_> =
        (0..2).map(|at| after["items"]["data"][at]["id"].as_str().unwrap_or_default()).collect();
    assert_eq!(kept, [&shop.items[0], &shop.items[1]]);
    assert_eq!(after["items"]["data"][1]["price"]["id"], metered.as_str());
    let with_quantity =
        format!("items[0][id]={}&items[0][price]={metered}&items[0][quantity]=2", shop.items[1]);
    assert_eq!(param(&shop.change(&with_quantity).await), (400, Some("items[quantity]")));
}

#[tokio::test]
async fn what_stripe_would_not_take_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let euro = "currency=eur&unit_amount=1&recurring[interval]=month&product_data[name]=euro";
    let old = shop.harness.post("/v1/prices", &euro.replace("eur", "usd")).await.id();
    let euro = shop.harness.post("/v1/prices", euro).await.id();
    shop.harness.post(&format!("/v1/prices/{old}"), "active=false").await;
    let before = shop.subscription().await;
    for (form, wrong) in [
        ("payment_behavior=never".to_owned(), "payment_behavior"),
        ("payment_behavior=pending_if_incomplete".to_owned(), "payment_behavior"),
        ("proration_behavior=sometimes".to_owned(), "proration_behavior"),
        ("default_payment_method=pm_none".to_owned(), "default_payment_method"),
        ("customer=cus_other".to_owned(), "customer"),
        (format!("items[0][price]={euro}"), "items[price]"),
        (format!("items[0][id]={}&items[0][price]={euro}", shop.items[0]), "items[price]"),
        (format!("items[0][price]={old}"), "items[price]"),
        ("items[0][id]=si_other&items[0][deleted]=true".to_owned(), "items[id]"),
        (format!("items[0][id]={}&items[0][delete]=true", shop.items[0]), "delete"),
    ] {
        assert_eq!(param(&shop.change(&form).await), (400, Some(wrong)), "{form}");
    }
    assert_eq!(shop.subscription().await, before);
    let create = format!("customer={}&items[0][price]={}&quantity=2", shop.customer, shop.big);
    assert_eq!(param(&shop.harness.post("/v1/subscriptions", &create).await), (400, Some("quantity")));
    let cancel = shop.harness.request("DELETE", &format!("{}?at_period_end=true", shop.path), "");
    assert_eq!(param(&shop.harness.send(cancel).await), (400, Some("at_period_end")));
}

#[tokio::test]
async fn prorations_are_taken_note_of_and_billed_only_when_wanted_at_once() {
    let shop = Shop::open().await;
    for behavior in ["create_prorations", "none"] {
        let form = format!("{}&proration_behavior={behavior}", shop.upgrade());
        assert_eq!(shop.change(&form).await.status, 200);
    }
    assert_eq!(shop.invoice().await["billing_reason"], "subscription_create");
    // Half of a period of two million seconds is left.
    let now = crate::sandbox::delivery::unix_now();
    let hook = shop.path.replace("/v1/", "/_sandbox/") + "/period";
    shop.harness.post(&hook, &format!("start={}&end={}", now - 1_000_000, now + 1_000_000)).await;
    let down = format!("items[0][id]={}&items[0][price]=price_demo_pro_monthly", shop.items[0]);
    assert_eq!(shop.change(&format!("{down}&proration_behavior=always_invoice")).await.status, 200);
    let back = shop.invoice().await;
    let amounts = |invoice: &Value| -> Vec<i64> {
        let lines = invoice["lines"]["data"].as_array().expect("lines");
        assert!(lines.iter().all(|line| line["parent"]["subscription_item_details"]["proration"] == true));
        lines.iter().map(|line| line["amount"].as_i64().expect("an amount")).collect()
    };
    // A test may take some seconds, of which each is worth a fortieth of a cent.
    let near = |amounts: Vec<i64>, wanted: [i64; 2]| {
        let near = amounts.iter().zip(wanted).all(|(amount, wanted)| (amount - wanted).abs() <= 10);
        assert!(near && amounts.len() == 2, "{amounts:?} for {wanted:?}");
    };
    near(amounts(&back), [-24_950, 4_950]);
    assert_eq!((&back["amount_due"], &back["status"]), (&json!(0), &json!("paid")), "nothing is due");
    shop.change(&format!("{}&proration_behavior=always_invoice", shop.upgrade())).await;
    let up = shop.invoice().await;
    near(amounts(&up), [-4_950, 24_950]);
    assert_eq!((&up["billing_reason"], &up["status"]), (&json!("subscription_update"), &json!("paid")));
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_paid_is_refused_or_past_due() {
    let shop = Shop::open().await;
    shop.harness.post(&format!("/_sandbox/customers/{}/decline", shop.customer), "").await;
    let before = shop.subscription().await;
    let upgrade = format!("{}&proration_behavior=always_invoice", shop.upgrade());
    let refused = shop.change(&format!("{upgrade}&payment_behavior=error_if_incomplete")).await;
    assert_eq!((refused.status, refused.json["error"]["type"].as_str()), (402, Some("card_error")));
    let yearly = format!("items[0][id]={}&items[0][price]=price_demo_pro_yearly", shop.items[0]);
    let refused = shop.change(&format!("{yearly}&payment_behavior=error_if_incomplete")).await;
    assert_eq!(refused.status, 402);
    assert_eq!(shop.subscription().await, before);
    let changed = shop.change(&upgrade).await.json;
    assert_eq!(
        (&changed["status"], &changed["items"]["data"][0]["price"]["id"]),
        (&json!("past_due"), &json!(shop.big))
    );
    assert_eq!(shop.invoice().await["status"], "open");
}

#[tokio::test]
async fn a_card_for_a_subscription_is_set_and_taken_away() {
    let shop = Shop::open().await;
    let attach = "/v1/payment_methods/pm_card_mastercard/attach";
    let card = shop.harness.post(attach, &format!("customer={}", shop.customer)).await.id();
    let set =
        shop.change(&format!("default_payment_method={card}&expand[]=default_payment_method")).await.json;
    assert_eq!(set["default_payment_method"]["card"]["brand"], "mastercard");
    assert_eq!(shop.change("default_payment_method=").await.json["default_payment_method"], Value::Null);
}
