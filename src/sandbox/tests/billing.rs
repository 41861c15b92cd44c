//! From a catalogue to an invoice.

use serde_json::{Value, json};

use super::harness::{Harness, meter_event};
use crate::sandbox::delivery::unix_now;

const DAY: i64 = 86_400;

#[tokio::test]
async fn an_upcoming_invoice_holds_the_flat_fee_and_the_overage() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", Some("alice")).expect("it is there");
    for (units, identifier) in [(9_999, "a"), (1, "b"), (500, "c")] {
        assert_eq!(harness.use_units(&pro.customer, units, identifier).await.status, 200);
    }
    let preview =
        harness.post("/v1/invoices/create_preview", &format!("customer={}", pro.customer)).await.json;
    let lines: Vec<_> = preview["lines"]["data"].as_array().expect("it is there").iter().collect();
    let amounts: Vec<_> =
        lines.iter().map(|line| (line["quantity"].as_u64(), line["amount"].as_i64())).collect();
    assert_eq!(amounts, [(Some(1), Some(9_900)), (Some(10_000), Some(0)), (Some(500), Some(1_000))]);
    assert_eq!(preview["total"], 10_900);
}

#[tokio::test]
async fn a_duplicate_identifier_is_an_error_that_must_not_be_retried() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    assert_eq!(harness.use_units(&customer, 5, "same").await.status, 200);
    let twice = harness.use_units(&customer, 5, "same").await;
    assert_eq!(twice.status, 400);
    assert_eq!(
        twice.json["error"],
        json!({"type": "invalid_request_error", "message": "An event already exists with identifier same."})
    );
    assert_eq!(twice.header("stripe-should-retry"), Some("false"));
    let totals = harness.get("/_sandbox/meter_totals").await.json;
    assert_eq!(
        totals,
        json!([{"customer": customer, "event_name": "api_calls", "units": 5, "events": 1, "duplicates": 1}])
    );
}

#[tokio::test]
async fn bad_meter_events_are_refused() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    let good = meter_event(&customer, 1, "id");
    let (untimed, _) = good.split_once("&timestamp=").expect("it is there");
    let stamp = |offset: i64| format!("{untimed}&timestamp={}", unix_now() + offset);
    for bad in [
        good.replace("value]=1", "value]=0"),
        good.replace("value]=1", "value]=-1"),
        good.replace("value]=1", "value]=1.5"),
        good.replace("value]=1", "value]=1000000000000000"),
        good.replace("api_calls", "unknown"),
        good.replace(&customer, "cus_none"),
        format!("{good}&surprise=1"),
        stamp(-36 * DAY),
        stamp(400),
    ] {
        let reply = harness.post("/v1/billing/meter_events", &bad).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    let none = harness.post("/v1/billing/meter_events", &good.replace("api_calls", "unknown")).await;
    assert_eq!(none.json["error"]["message"], "No active meter found for event name unknown.");
    assert_eq!(harness.get("/_sandbox/meter_totals").await.json, json!([]));
}

#[tokio::test]
async fn summaries_add_up_and_want_whole_minutes() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    harness.use_units(&customer, 3, "a").await;
    harness.use_units(&customer, 4, "b").await;
    let meter = harness.get("/v1/billing/meters").await.json["data"][0]["id"]
        .as_str()
        .expect("it is there")
        .to_owned();
    let midnight = unix_now().div_euclid(DAY) * DAY;
    let path = |start: i64, end: i64, more: &str| {
        format!(
            "/v1/billing/meters/{meter}/event_summaries?customer={customer}&start_time={start}&end_time={end}{more}"
        )
    };
    let whole = harness.get(&path(midnight - DAY, midnight + 2 * DAY, "")).await.json;
    assert_eq!(whole["data"][0]["aggregated_value"], 7);
    let days =
        harness.get(&path(midnight - DAY, midnight + 2 * DAY, "&value_grouping_window=day")).await.json;
    let sum: i64 = days["data"]
        .as_array()
        .expect("it is there")
        .iter()
        .filter_map(|row| row["aggregated_value"].as_i64())
        .sum();
    assert_eq!(sum, 7);
    assert_eq!(harness.get(&path(midnight + 1, midnight + DAY, "")).await.status, 400);
    let hours = path(midnight + 60, midnight + DAY, "&value_grouping_window=hour");
    assert_eq!(harness.get(&hours).await.status, 400);
}

#[tokio::test]
async fn a_cancelled_event_no_longer_counts() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    harness.use_units(&customer, 3, "a").await;
    let cancel = "event_name=api_calls&type=cancel&cancel[identifier]=a";
    let reply = harness.post("/v1/billing/meter_event_adjustments", cancel).await;
    assert_eq!((reply.status, reply.json["status"].as_str()), (200, Some("complete")));
    assert_eq!(harness.get("/_sandbox/meter_totals").await.json[0]["units"], 0);
}

#[tokio::test]
async fn tiers_come_only_when_expanded() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let path = "/v1/prices?lookup_keys[]=tollgate_pro_api_calls";
    let plain = harness.get(path).await.json;
    assert_eq!(plain["data"][0]["id"], "price_demo_pro_api_calls");
    assert_eq!(plain["data"][0].get("tiers"), None);
    let full = harness.get(&format!("{path}&expand[]=data.tiers&expand[]=data.product")).await.json;
    assert_eq!(full["data"][0]["tiers"][1]["unit_amount_decimal"], "2");
    assert_eq!(full["data"][0]["tiers"][1]["up_to"], Value::Null);
    assert_eq!(full["data"][0]["product"]["name"], "pro");
    assert_eq!(harness.get(&format!("{path}&expand[]=data.nonsense")).await.status, 400);
}

#[tokio::test]
async fn an_amount_never_changes_and_a_lookup_key_goes_over_only_where_that_is_asked_for() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let old = "/v1/prices/price_demo_pro_monthly";
    for change in ["unit_amount=1", "currency=eur", "recurring[interval]=year"] {
        assert_eq!(harness.post(old, change).await.status, 400, "{change}");
    }
    let new = "currency=usd&unit_amount=1&recurring[interval]=month&product_data[name]=x&lookup_key=tollgate_pro_monthly";
    assert_eq!(harness.post("/v1/prices", new).await.status, 400, "it is another's");
    let new = harness.post("/v1/prices", &format!("{new}&transfer_lookup_key=true")).await.id();
    let list = harness.get("/v1/prices?lookup_keys[]=tollgate_pro_monthly").await.json;
    assert_eq!(
        (list["data"].as_array().map(Vec::len), list["data"][0]["id"].as_str()),
        (Some(1), Some(&*new))
    );
    let old = harness.get(old).await.json;
    assert_eq!(
        (&old["lookup_key"], &old["active"], &old["unit_amount"]),
        (&Value::Null, &json!(true), &json!(9_900))
    );
}

#[tokio::test]
async fn an_upgrade_replaces_items_by_id_and_adds_those_without() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let path = format!("/v1/subscriptions/{}", pro.subscription);
    let price = harness
        .post("/v1/prices", "currency=usd&unit_amount=49900&recurring[interval]=month&product_data[name]=big")
        .await
        .id();
    let before = harness.get(&path).await.json;
    let item = before["items"]["data"][0]["id"].as_str().expect("it is there");
    let after = harness.post(&path, &format!("items[0][id]={item}&items[0][price]={price}")).await.json;
    assert_eq!(after["items"]["data"].as_array().expect("it is there").len(), 2);
    assert_eq!(after["items"]["data"][0]["price"]["id"], price.as_str());
    assert_eq!(
        after["items"]["data"][0]["current_period_end"],
        before["items"]["data"][0]["current_period_end"]
    );
    let added = harness.post(&path, "items[0][price]=price_demo_pro_monthly").await.json;
    assert_eq!(added["items"]["data"].as_array().expect("it is there").len(), 3);
}

#[tokio::test]
async fn a_hook_moves_a_period_and_its_usage_is_billed_when_it_ends() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    harness.use_units(&pro.customer, 10_100, "a").await;
    let path = format!("/v1/subscriptions/{}", pro.subscription);
    let anchor = harness.get(&path).await.json["billing_cycle_anchor"].as_i64().expect("it is there");
    let (start, later) = (anchor - 10 * DAY, anchor + DAY);
    let period = format!("/_sandbox/subscriptions/{}/period", pro.subscription);
    let running = harness.post(&period, &format!("start={start}&end={later}")).await.json;
    assert_eq!(running["items"]["data"][1]["current_period_start"], start);
    let preview =
        harness.post("/v1/invoices/create_preview", &format!("customer={}", pro.customer)).await.json;
    assert_eq!(preview["total"], 9_900 + 200);
    harness.post(&period, &format!("start={start}&end={anchor}")).await;
    let next = harness.get(&path).await.json;
    assert_eq!(next["items"]["data"][0]["current_period_start"], anchor);
    assert!(
        next["items"]["data"][0]["current_period_end"].as_i64().expect("it is there") > anchor + 27 * DAY
    );
    let invoices = harness.get(&format!("/v1/invoices?customer={}", pro.customer)).await.json;
    assert_eq!(invoices["data"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn lists_leave_canceled_subscriptions_out_unless_asked() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let canceled = harness.delete(&format!("/v1/subscriptions/{}", pro.subscription)).await;
    assert_eq!(canceled.json["status"], "canceled");
    let list = |more: &str| harness.get_len(format!("/v1/subscriptions?customer={}{more}", pro.customer));
    assert_eq!((list("").await, list("&status=all").await, list("&status=active").await), (0, 1, 0));
}

impl Harness {
    async fn get_len(&self, path: String) -> usize {
        self.get(&path).await.json["data"].as_array().map_or(0, Vec::len)
    }
}

#[tokio::test]
async fn a_trial_is_free_and_turns_active_when_it_is_ended() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    let form = format!("customer={customer}&trial_period_days=14&items[0][price]=price_demo_pro_monthly");
    let trial = harness.post("/v1/subscriptions", &form).await;
    assert_eq!(trial.json["status"], "trialing");
    let invoices = harness.get(&format!("/v1/invoices?customer={customer}")).await.json;
    assert_eq!(invoices["data"][0]["total"], 0);
    let path = format!("/v1/subscriptions/{}", trial.id());
    let active = harness.post(&path, "trial_end=now").await.json;
    assert_eq!(active["status"], "active");
    let invoices = harness.get(&format!("/v1/invoices?customer={customer}")).await.json;
    assert_eq!(invoices["data"][0]["total"], 9_900);
}

#[tokio::test]
async fn hooks_force_a_status_and_fail_a_payment() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let hook = |name: &str| format!("/_sandbox/subscriptions/{}/{name}", pro.subscription);
    let failed = harness.post(&hook("payment_failed"), "").await.json;
    assert_eq!(failed["status"], "past_due");
    let paused = harness
        .send(
            harness
                .http
                .post(format!("{}{}", harness.sandbox.base_url(), hook("status")))
                .json(&json!({"status": "paused"})),
        )
        .await;
    assert_eq!(paused.json["status"], "paused");
    let types = harness.event_types().await;
    assert_eq!(
        types[types.len() - 4..],
        [
            "invoice.payment_failed",
            "customer.subscription.updated",
            "customer.subscription.updated",
            "customer.subscription.paused",
        ]
    );
}

#[tokio::test]
async fn deleting_a_customer_ends_its_subscriptions() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let path = format!("/v1/customers/{}", pro.customer);
    assert_eq!(harness.delete(&path).await.json["deleted"], true);
    assert_eq!(harness.get(&path).await.json["deleted"], true);
    let types = harness.event_types().await;
    assert_eq!(types[types.len() - 2..], ["customer.subscription.deleted", "customer.deleted"]);
}

#[tokio::test]
async fn a_yearly_fee_and_monthly_usage_have_periods_of_their_own() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    let form = format!(
        "customer={customer}&items[0][price]=price_demo_pro_yearly&items[1][price]=price_demo_pro_api_calls\
         &cancel_at_period_end=true"
    );
    let subscription = harness.post("/v1/subscriptions", &form).await.json;
    let end = |index: usize| {
        subscription["items"]["data"][index]["current_period_end"].as_i64().expect("it is there")
    };
    assert!(end(0) - end(1) > 300 * DAY);
    assert_eq!(subscription["cancel_at"], end(1), "as at Stripe, it ends with the first period");
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().expect("an id"));
    let ended = harness.post(&path, "cancel_at=max_period_end").await.json;
    assert_eq!(
        (&ended["cancel_at"], &ended["cancel_at_period_end"]),
        (&json!(end(0)), &json!(false)),
        "what was paid for is had to its end"
    );
    let preview = harness.post("/v1/invoices/create_preview", &format!("customer={customer}")).await.json;
    assert_eq!(preview["total"], 0, "the next invoice is the month's usage alone");
}
