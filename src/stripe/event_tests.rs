use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(event: &Value) -> Event {
    Event::read(event.to_string().as_bytes()).expect("an event")
}

/// An event about `object`.
fn about(kind: &str, object: &Value) -> Event {
    read(&json!({ "id": "evt_1", "object": "event", "type": kind, "created": 1_790_000_000,
        "livemode": true, "api_version": "2024-06-20", "data": { "object": object } }))
}

#[test]
fn a_subscription_event_names_the_subscription_and_its_customer() {
    let event = about(
        "customer.subscription.updated",
        &json!({ "id": "sub_1", "object": "subscription",
        "customer": "cus_1", "status": "past_due", "metadata": { "tollgate_customer": "acme" } }),
    );
    assert_eq!(
        event,
        Event {
            id: "evt_1".into(),
            kind: "customer.subscription.updated".into(),
            created: Some(1_790_000_000),
            livemode: Some(true),
            api_version: Some("2024-06-20".into()),
            object: Some("subscription".into()),
            object_id: Some("sub_1".into()),
            customer: Some("cus_1".into()),
            subscription: Some("sub_1".into()),
            tollgate_customer: Some("acme".into()),
            status: Some("past_due".into()),
            ..Event::default()
        }
    );
}

#[test]
fn an_invoice_names_its_subscription_before_2025_03_31() {
    let event = about(
        "invoice.paid",
        &json!({ "id": "in_1", "object": "invoice", "customer": "cus_1",
        "subscription": "sub_1",
        "subscription_details": { "metadata": { "tollgate_customer": "acme" } } }),
    );
    assert_eq!(event.subscription.as_deref(), Some("sub_1"));
    assert_eq!(event.tollgate_customer.as_deref(), Some("acme"));
}

#[test]
fn an_invoice_names_its_subscription_since_2025_03_31() {
    for subscription in [json!("sub_1"), json!({ "id": "sub_1" })] {
        let event = about(
            "invoice.paid",
            &json!({ "id": "in_1", "object": "invoice", "customer": "cus_1",
            "parent": { "type": "subscription_details", "subscription_details": {
                "subscription": subscription, "metadata": { "tollgate_customer": "acme" } } } }),
        );
        assert_eq!(event.subscription.as_deref(), Some("sub_1"));
        assert_eq!(event.tollgate_customer.as_deref(), Some("acme"));
    }
}

#[test]
fn an_invoices_lines_name_the_subscription_when_it_does_not() {
    for line in [
        json!({ "subscription": "sub_1" }),
        json!({ "parent": { "subscription_item_details": { "subscription": "sub_1" } } }),
        json!({ "parent": { "invoice_item_details": { "subscription": "sub_1" } } }),
    ] {
        let event = about(
            "invoice.paid",
            &json!({ "id": "in_1", "object": "invoice",
            "subscription": null, "lines": { "data": [{}, line] } }),
        );
        assert_eq!(event.subscription.as_deref(), Some("sub_1"), "{line}");
    }
}

#[test]
fn a_checkout_session_names_who_bought_what() {
    let event = about(
        "checkout.session.completed",
        &json!({ "id": "cs_1", "object": "checkout.session",
        "mode": "subscription", "payment_status": "paid", "status": "complete", "customer": { "id": "cus_1" },
        "subscription": "sub_1", "client_reference_id": "acme", "metadata": {} }),
    );
    assert_eq!(event.customer.as_deref(), Some("cus_1"));
    assert_eq!(event.subscription.as_deref(), Some("sub_1"));
    assert_eq!(event.client_reference_id.as_deref(), Some("acme"));
    assert_eq!(event.checkout_mode.as_deref(), Some("subscription"));
    assert_eq!(event.payment_status.as_deref(), Some("paid"));
    assert_eq!(event.tollgate_customer, None);
}

#[test]
fn a_customer_event_is_about_that_customer() {
    let event = about(
        "customer.updated",
        &json!({ "id": "cus_1", "object": "customer",
        "metadata": { "tollgate_customer": "acme" } }),
    );
    assert_eq!(event.customer.as_deref(), Some("cus_1"));
    assert_eq!(event.tollgate_customer.as_deref(), Some("acme"));
}

#[test]
fn a_thin_event_names_its_object_alone() {
    let event = read(&json!({ "id": "evt_2", "object": "v2.core.event", "livemode": false,
        "type": "v1.billing.meter.error_report_triggered", "created": "2026-09-21T14:13:20.000Z",
        "related_object": { "id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1" } }));
    assert_eq!(event.object.as_deref(), Some("billing.meter"));
    assert_eq!(event.object_id.as_deref(), Some("mtr_1"));
    assert_eq!(event.created, Some(1_790_000_000));
    assert_eq!(event.livemode, Some(false));
    assert_eq!(event.customer, None);
}

#[test]
fn no_json_no_id_or_no_type_is_no_event() {
    let read = |body: &str| Event::read(body.as_bytes());
    assert!(matches!(read("{"), Err(EventError::NotJson(_))));
    assert!(matches!(read(""), Err(EventError::NotJson(_))));
    assert!(matches!(Event::read(b"\xff"), Err(EventError::NotJson(_))));
    assert!(matches!(read(&"[".repeat(100_000)), Err(EventError::NotJson(_))));
    for body in ["{}", "[]", "null", r#"{"id":7,"type":"x"}"#, r#"{"id":"","type":"x"}"#] {
        assert!(matches!(read(body), Err(EventError::NoId)), "{body}");
    }
    assert!(matches!(read(r#"{"id":"evt_1"}"#), Err(EventError::NoType)));
}

#[test]
fn an_event_of_an_unknown_type_is_an_event() {
    let event = about("teapot.boiled", &json!({ "temperature": 100 }));
    assert_eq!(event.kind, "teapot.boiled");
    assert_eq!(event.object, None);
}

/// Any JSON, a few levels deep, with the names that the reader looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "id",
        "object",
        "customer",
        "subscription",
        "metadata",
        "tollgate_customer",
        "parent",
        "subscription_details",
        "lines",
        "data",
        "created",
        "livemode",
        "status",
        "mode",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, v)| (name.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_shape_of_an_object_loses_the_event(object in any_json(), created in any_json()) {
        let event = read(&json!({ "id": "evt_1", "type": "x", "created": created,
            "livemode": object, "data": { "object": object } }));
        prop_assert_eq!(event.id, "evt_1");
    }

    #[test]
    fn garbage_is_refused_without_a_panic(body: Vec<u8>) {
        prop_assert!(Event::read(&body).is_err());
    }
}
