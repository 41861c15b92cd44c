//! What happens by itself, over days: attempts to collect, trials that end, invoices that come near.

use serde_json::{Value, json};

use super::world::{World, at, try_run};
use crate::sandbox::{
    AfterRetries, Options, collection, customers, events, hooks, invoices, payment_methods, subscriptions,
};

/// The first period ends on February 1st.
const START: &str = "2026-01-01T00:00:00Z";
const RENEWAL: &str = "2026-02-01T00:00:00Z";

impl World {
    fn decline(&mut self, now: &str, declines: bool) {
        let customer = self.pro.customer.clone();
        self.at(now, hooks::set_declines, &customer, &format!("declines={declines}"));
    }

    /// The newest invoice.
    fn invoice(&mut self, now: &str) -> Value {
        self.at(now, invoices::index, "", "limit=1")["data"][0].take()
    }

    fn status(&mut self, now: &str) -> Value {
        self.subscription(now)["status"].take()
    }

    /// Another subscription of the customer.
    fn subscribe(&mut self, now: &str, more: &str) -> String {
        let price = self.state.prices.iter().next().expect("a price").id.clone();
        let form = format!("customer={}&items[0][price]={price}&{more}", self.pro.customer);
        self.at(now, subscriptions::create, "", &form)["id"].as_str().expect("an id").to_owned()
    }
}

#[test]
fn a_renewal_that_is_declined_is_tried_again_after_3_5_and_7_days_and_then_given_up() {
    for (after_retries, ends) in [
        (AfterRetries::Cancel, "canceled"),
        (AfterRetries::MarkUnpaid, "unpaid"),
        (AfterRetries::LeavePastDue, "past_due"),
    ] {
        let mut world = World::with(START, Options { after_retries, ..Options::default() });
        world.decline(START, true);
        assert_eq!(world.status("2026-01-31T23:59:59Z"), "active");
        for (now, attempts, next) in [
            (RENEWAL, 1, Some("2026-02-04T00:00:00Z")),
            ("2026-02-03T23:59:59Z", 1, Some("2026-02-04T00:00:00Z")),
            ("2026-02-04T00:00:00Z", 2, Some("2026-02-09T00:00:00Z")),
            ("2026-02-09T00:00:00Z", 3, Some("2026-02-16T00:00:00Z")),
        ] {
            let invoice = world.invoice(now);
            assert_eq!(
                (&invoice["attempt_count"], &invoice["next_payment_attempt"]),
                (&json!(attempts), &json!(next.map(at))),
                "{now}"
            );
            assert_eq!((&invoice["status"], world.status(now)), (&json!("open"), json!("past_due")));
        }
        let last = world.invoice("2026-02-16T00:00:00Z");
        assert_eq!((&last["attempt_count"], &last["next_payment_attempt"]), (&json!(4), &Value::Null));
        assert_eq!(world.status("2026-02-16T00:00:00Z"), ends);
        assert_eq!(world.events("invoice.payment_failed"), 4);
        assert_eq!(world.events("payment_intent.payment_failed"), 4);
        assert_eq!(world.state.payment_intents.len(), 2, "all four are one payment, beside the first invoice's");
    }
}

#[test]
fn an_attempt_that_succeeds_makes_everything_well() {
    let mut world = World::begin(START);
    world.decline(START, true);
    assert_eq!(world.status(RENEWAL), "past_due");
    world.decline(RENEWAL, false);
    assert_eq!(world.status("2026-02-04T00:00:00Z"), "active");
    let invoice = world.invoice("2026-02-04T00:00:00Z");
    assert_eq!((&invoice["status"], &invoice["attempt_count"]), (&json!("paid"), &json!(2)));
    world.status("2026-02-28T00:00:00Z");
    assert_eq!(world.events("invoice.payment_failed"), 1);
}

#[test]
fn a_subscription_that_ends_is_collected_no_more() {
    let mut world = World::begin(START);
    world.decline(START, true);
    let subscription = world.pro.subscription.clone();
    assert_eq!(world.status(RENEWAL), "past_due");
    world.at(RENEWAL, subscriptions::cancel, &subscription, "");
    world.decline(RENEWAL, false);
    let owed = world.invoice("2026-03-01T00:00:00Z");
    assert_eq!((&owed["status"], &owed["attempt_count"]), (&json!("open"), &json!(1)));
    assert_eq!(owed["next_payment_attempt"], Value::Null);
}

#[test]
fn a_hook_makes_an_attempt_at_once() {
    let mut world = World::begin(START);
    world.decline(START, true);
    let invoice = world.invoice(RENEWAL)["id"].as_str().expect("an id").to_owned();
    let tried = world.at(RENEWAL, collection::try_again, &invoice, "");
    assert_eq!((&tried["attempt_count"], &tried["status"]), (&json!(2), &json!("open")));
    world.decline(RENEWAL, false);
    let paid = world.at(RENEWAL, collection::try_again, &invoice, "");
    assert_eq!((&paid["status"], world.status(RENEWAL)), (&json!("paid"), json!("active")));
}

#[test]
fn a_first_invoice_that_nobody_pays_ends_the_subscription_after_23_hours() {
    let mut world = World::begin(START);
    world.decline(START, true);
    let late = world.subscribe(START, "");
    let status =
        |world: &mut World, now: &str| world.at(now, subscriptions::retrieve, &late, "")["status"].take();
    assert_eq!(status(&mut world, "2026-01-01T22:59:59Z"), "incomplete");
    assert_eq!(status(&mut world, "2026-01-01T23:00:00Z"), "incomplete_expired");
    assert_eq!(world.invoice("2026-01-01T23:00:00Z")["status"], "void");
    assert_eq!(world.last_event("customer.subscription.updated")["status"], "incomplete_expired");
    assert_eq!(world.events("invoice.payment_failed"), 1, "a first invoice is not tried again");
}

#[test]
fn a_trial_is_told_of_three_days_before_its_end_or_at_once_if_it_is_shorter() {
    let kind = "customer.subscription.trial_will_end";
    let mut world = World::begin(START);
    world.subscribe(START, "trial_period_days=14");
    world.status("2026-01-11T23:59:59Z");
    assert_eq!(world.events(kind), 0);
    world.status("2026-01-12T00:00:00Z");
    assert_eq!(world.events(kind), 1);
    assert_eq!(world.last_event(kind)["trial_end"], at("2026-01-15T00:00:00Z"));
    world.subscribe("2026-01-20T00:00:00Z", "trial_period_days=2");
    assert_eq!(world.event_types().last(), Some(&kind));
    let cut = world.subscribe("2026-01-21T00:00:00Z", "trial_period_days=10");
    world.at("2026-01-22T00:00:00Z", subscriptions::update, &cut, "trial_end=now");
    assert_eq!(world.events(kind), 3, "a trial that is ended is told of too");
    world.status("2026-03-01T00:00:00Z");
    assert_eq!(world.events(kind), 3, "and not again");
}

#[test]
fn a_trial_that_was_cancelled_is_not_told_of() {
    let mut world = World::begin(START);
    let trial = world.subscribe(START, "trial_period_days=14");
    world.at("2026-01-02T00:00:00Z", subscriptions::cancel, &trial, "");
    world.status("2026-01-14T00:00:00Z");
    assert_eq!(world.events("customer.subscription.trial_will_end"), 0);
}

#[test]
fn an_invoice_that_comes_near_is_told_of_without_an_id() {
    let mut world = World::with(START, Options { upcoming_days: Some(7), ..Options::default() });
    world.use_units("2026-01-10T00:00:00Z", 150);
    world.status("2026-01-24T23:59:59Z");
    assert_eq!(world.events("invoice.upcoming"), 0);
    world.status("2026-01-25T00:00:00Z");
    assert_eq!(world.events("invoice.upcoming"), 1);
    let invoice = world.last_event("invoice.upcoming");
    assert_eq!((invoice.get("id"), &invoice["total"]), (None, &json!(9_900 + 100)));
    world.status("2026-02-22T00:00:00Z");
    assert_eq!(world.events("invoice.upcoming"), 2, "once for every period");
}

#[test]
fn every_invoice_may_be_told_of_from_its_draft_on() {
    let mut world = World::with(START, Options { invoice_steps: true, ..Options::default() });
    world.status(RENEWAL);
    let types = world.event_types();
    let steps = ["invoice.created", "invoice.finalized", "payment_intent.succeeded", "invoice.paid"];
    assert_eq!(types[types.len() - 5..types.len() - 1], steps);
}

#[test]
fn a_cancellation_at_a_moment_bills_the_usage_until_then() {
    let mut world = World::begin(START);
    world.use_units("2026-01-05T00:00:00Z", 110);
    let at_once = format!("cancel_at={}", at("2026-01-20T12:00:00Z"));
    let planned = world.update("2026-01-06T00:00:00Z", &at_once);
    assert_eq!(
        (&planned["cancel_at"], &planned["cancel_at_period_end"], &planned["canceled_at"]),
        (&json!(at("2026-01-20T12:00:00Z")), &json!(false), &json!(at("2026-01-06T00:00:00Z")))
    );
    assert_eq!(world.status("2026-01-20T11:59:59Z"), "active");
    assert_eq!(world.status("2026-01-20T12:00:00Z"), "canceled");
    assert_eq!(world.totals("2026-03-01T00:00:00Z"), [20, 9_900]);
    let mut world = World::begin(START);
    world.update(START, &at_once);
    assert_eq!(world.update(START, "cancel_at=")["cancel_at"], Value::Null);
    assert_eq!(world.status("2026-01-21T00:00:00Z"), "active");
    let id = world.pro.subscription.clone();
    let now = at("2026-01-21T00:00:00Z");
    for wrong in [format!("cancel_at={now}"), format!("cancel_at={}&cancel_at_period_end=true", now + 9)] {
        assert!(try_run(&mut world.state, now, subscriptions::update, &id, &wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_event_is_shown_for_thirty_days() {
    let mut world = World::begin(START);
    let all = world.at("2026-01-31T00:00:00Z", events::index, "", "limit=100");
    let first = all["data"][0]["id"].as_str().expect("an event").to_owned();
    assert_eq!(world.at("2026-01-31T00:00:00Z", events::retrieve, &first, "")["id"], first.as_str());
    let late = at("2026-01-31T00:00:01Z");
    assert!(try_run(&mut world.state, late, events::retrieve, &first, "").is_err());
    assert_eq!(world.at("2026-01-31T00:00:01Z", events::index, "", "")["data"], json!([]));
}

#[test]
fn a_customers_other_card_pays_once_it_is_the_default() {
    let mut world = World::begin(START);
    let customer = world.pro.customer.clone();
    let form = format!("customer={customer}");
    let attach = |world: &mut World, card: &str| {
        world.at(START, payment_methods::attach, card, &form)["id"].as_str().expect("an id").to_owned()
    };
    let (bad, good) = (attach(&mut world, "pm_card_chargeCustomerFail"), attach(&mut world, "pm_card_amex"));
    let default = |card: &str| format!("invoice_settings[default_payment_method]={card}");
    world.at(START, customers::update, &customer, &default(&bad));
    assert_eq!(world.status(RENEWAL), "past_due");
    world.at(RENEWAL, customers::update, &customer, &default(&good));
    assert_eq!(world.status("2026-02-04T00:00:00Z"), "active");
    assert_eq!(world.last_event("payment_intent.succeeded")["payment_method"], good.as_str());
}
