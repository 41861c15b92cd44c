//! What only a test may do.

use serde_json::{Value, json};

use super::harness::Harness;
use crate::sandbox::Options;

#[tokio::test]
async fn a_portal_that_is_not_set_up_refuses_as_stripe_does() {
    let harness = Harness::start().await;
    let customer = harness.post("/v1/customers", "").await.id();
    let form = format!("customer={customer}&return_url=http://shop.example/");
    let open = async |more: &str| harness.post("/v1/billing_portal/sessions", &format!("{form}{more}")).await;
    assert_eq!(open("").await.json["url"], "http://shop.example/");
    harness.post("/_sandbox/portal", "configured=false").await;
    let refused = open("").await;
    let error = &refused.json["error"];
    assert_eq!((refused.status, error["type"].as_str()), (400, Some("invalid_request_error")));
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("No configuration provided and your test mode default configuration has not")
    );
    assert_eq!(open("&configuration=bpc_own").await.status, 200);
    harness.post("/_sandbox/portal", "configured=true").await;
    assert_eq!(open("").await.status, 200);
}

#[tokio::test]
async fn a_portal_opens_where_it_was_told_to_and_only_for_the_customers_own() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let alice = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let bob = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    let open = async |flow: String| {
        let form = format!("customer={}&flow_data[type]={flow}", alice.customer);
        harness.post("/v1/billing_portal/sessions", &form).await
    };
    let own = |flow: &str, id: &str| format!("{flow}&flow_data[{flow}][subscription]={id}");
    let cancel = open(own("subscription_cancel", &alice.subscription)).await.json;
    assert_eq!(cancel["flow"]["subscription_cancel"]["subscription"], alice.subscription.as_str());
    assert_eq!(open("payment_method_update".to_owned()).await.json["flow"]["type"], "payment_method_update");
    for wrong in [
        own("subscription_update", &bob.subscription),
        "subscription_update".to_owned(),
        "go_home".to_owned(),
    ] {
        assert_eq!(open(wrong.clone()).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn entitlements_are_given_listed_and_told_of() {
    let harness = Harness::start().await;
    let customer = harness.post("/v1/customers", "").await.id();
    let hook = format!("/_sandbox/customers/{customer}/entitlements");
    harness.post(&hook, "features[]=export&features[]=sso").await;
    let summary = harness.last_event("entitlements.active_entitlement_summary.updated").await;
    let keys = |list: &Value| -> Vec<Value> {
        list["data"].as_array().expect("a list").iter().map(|row| row["lookup_key"].clone()).collect()
    };
    assert_eq!(
        (&summary["customer"], keys(&summary["entitlements"])),
        (&json!(customer), vec![json!("export"), json!("sso")])
    );
    let path = format!("/v1/entitlements/active_entitlements?customer={customer}");
    assert_eq!(keys(&harness.get(&path).await.json), ["export", "sso"]);
    harness.post(&hook, "").await;
    assert_eq!(keys(&harness.get(&path).await.json), Vec::<Value>::new());
}

#[tokio::test]
async fn hooks_tell_of_an_invoice_and_of_a_trials_end_whenever_they_are() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let customer = harness.post("/v1/customers", "").await.id();
    let form = format!("customer={customer}&items[0][price]=price_demo_pro_monthly&trial_period_days=14");
    let trial = harness.post("/v1/subscriptions", &form).await.id();
    let hook = |name: &str| format!("/_sandbox/subscriptions/{trial}/{name}");
    harness.post(&hook("trial_will_end"), "").await;
    assert_eq!(harness.last_event("customer.subscription.trial_will_end").await["id"], trial.as_str());
    harness.post(&hook("upcoming"), "").await;
    let invoice = harness.last_event("invoice.upcoming").await;
    assert_eq!((invoice.get("id"), &invoice["total"]), (None, &json!(9_900)));
    let paying = harness.sandbox.create_subscribed_customer("pro", None).expect("it is there").subscription;
    let none = harness.post(&format!("/_sandbox/subscriptions/{paying}/trial_will_end"), "").await;
    assert_eq!(none.status, 400);
}

#[tokio::test]
async fn a_quiet_sandbox_makes_no_events() {
    let harness = Harness::with(Options { quiet: true, ..Options::default() }).await;
    harness.seed_pro();
    harness.sandbox.create_subscribed_customer("pro", None).expect("it is there");
    assert_eq!(harness.event_types().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_crowd_is_seeded_by_a_hook_without_an_event_and_what_follows_is_told() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let crowd = harness.post("/_sandbox/seed", "customers=3&tier=pro&prefix=c").await.json;
    let first = crowd[0]["customer"].as_str().expect("a customer").to_owned();
    assert_eq!(crowd.as_array().map(Vec::len), Some(3));
    let customer = harness.get(&format!("/v1/customers/{first}")).await.json;
    assert_eq!(customer["metadata"]["tollgate_customer"], "c_0");
    assert_eq!(harness.event_types().await, Vec::<String>::new());
    harness.post(&format!("/v1/customers/{first}"), "name=other").await;
    assert_eq!(harness.event_types().await, ["customer.updated"]);
    for wrong in ["tier=pro", "customers=100001&tier=pro", "customers=1&tier=none"] {
        assert_eq!(harness.post("/_sandbox/seed", wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn faults_strike_the_new_operations_by_name() {
    let harness = Harness::start().await;
    for (operation, path) in [
        ("payment_intents.retrieve", "/v1/payment_intents/pi_none"),
        ("payment_methods.list", "/v1/payment_methods?customer=cus_none"),
    ] {
        harness.post("/_sandbox/faults", &format!("operation={operation}&status=503")).await;
        assert_eq!(harness.get(path).await.status, 503, "{operation}");
    }
    harness.post("/_sandbox/faults", "operation=payment_methods.attach&status=500&saved=true").await;
    let attach = || {
        harness
            .request("POST", "/v1/payment_methods/pm_card_visa/attach", "customer=cus_none")
            .header("idempotency-key", "k1")
    };
    assert_eq!(harness.send(attach()).await.status, 500);
    assert_eq!(harness.send(attach()).await.header("idempotent-replayed"), Some("true"));
}
