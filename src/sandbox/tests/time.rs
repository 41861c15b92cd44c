//! Periods over months.

use super::world::{World, at, period, run};
use crate::sandbox::subscriptions;

#[test]
fn periods_of_an_anchor_on_the_31st_meet_without_gap_or_overlap() {
    let mut world = World::begin("2026-01-31T10:00:00Z");
    let edges = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"];
    for pair in edges.windows(2) {
        let (start, end) = (format!("{}T10:00:00Z", pair[0]), format!("{}T10:00:00Z", pair[1]));
        let subscription = world.subscription(&start);
        assert_eq!(period(&subscription, 0), (at(&start), at(&end)));
        assert_eq!(period(&subscription, 1), (at(&start), at(&end)));
    }
}

#[test]
fn usage_is_billed_with_the_period_it_fell_into() {
    let mut world = World::begin("2026-01-31T10:00:00Z");
    world.use_units("2026-02-28T09:59:59Z", 150);
    world.use_units("2026-02-28T10:00:00Z", 400);
    assert_eq!(world.totals("2026-02-28T10:00:00Z"), [9_900 + 100, 9_900]);
    assert_eq!(world.totals("2026-03-31T10:00:00Z"), [9_900 + 600, 9_900 + 100, 9_900]);
    assert_eq!(world.events("invoice.paid"), 3);
    assert_eq!(world.events("customer.subscription.updated"), 2);
}

#[test]
fn a_cancellation_at_the_periods_end_bills_the_usage_and_nothing_more() {
    let mut world = World::begin("2026-01-31T10:00:00Z");
    world.use_units("2026-02-10T00:00:00Z", 101);
    assert_eq!(world.update("2026-02-11T00:00:00Z", "cancel_at_period_end=true")["status"], "active");
    assert_eq!(world.subscription("2026-02-28T09:59:59Z")["status"], "active");
    assert_eq!(world.subscription("2026-02-28T10:00:00Z")["status"], "canceled");
    assert_eq!(world.totals("2026-06-01T00:00:00Z"), [2, 9_900]);
    assert_eq!(world.events("customer.subscription.deleted"), 1);
}

#[test]
fn a_trial_turns_active_at_its_end_and_its_usage_is_free() {
    let mut world = World::begin("2026-01-01T00:00:00Z");
    let customer = world.pro.customer.clone();
    let cancelled = world.pro.subscription.clone();
    run(&mut world.state, at("2026-01-01T00:00:00Z"), subscriptions::cancel, &cancelled, "");
    let prices: Vec<_> = world.state.prices.iter().map(|price| price.id.clone()).collect();
    let form = format!(
        "customer={customer}&trial_period_days=14&items[0][price]={}&items[1][price]={}",
        prices[0], prices[1]
    );
    let trial = run(&mut world.state, at("2026-01-02T00:00:00Z"), subscriptions::create, "", &form);
    assert_eq!(period(&trial, 0), (at("2026-01-02T00:00:00Z"), at("2026-01-16T00:00:00Z")));
    world.pro.subscription = trial["id"].as_str().expect("it is there").to_owned();
    world.use_units("2026-01-10T00:00:00Z", 1_000);
    assert_eq!(world.subscription("2026-01-15T23:59:59Z")["status"], "trialing");
    let paying = world.subscription("2026-01-16T00:00:00Z");
    assert_eq!(paying["status"], "active");
    assert_eq!(period(&paying, 0), (at("2026-01-16T00:00:00Z"), at("2026-02-16T00:00:00Z")));
    assert_eq!(world.totals("2026-01-16T00:00:00Z"), [9_900, 0, 9_900]);
}

#[test]
fn an_anchor_ahead_shortens_the_first_period() {
    let mut world = World::begin("2026-01-01T00:00:00Z");
    let price = world.state.prices.iter().next().expect("it is there").id.clone();
    let (now, anchor) = (at("2026-01-20T00:00:00Z"), at("2026-02-01T00:00:00Z"));
    let form =
        format!("customer={}&billing_cycle_anchor={anchor}&items[0][price]={price}", world.pro.customer);
    let subscription = run(&mut world.state, now, subscriptions::create, "", &form);
    assert_eq!(period(&subscription, 0), (now, anchor));
}

#[test]
fn another_rhythm_ends_the_period_at_once_and_bills_its_usage() {
    let mut world = World::begin("2026-01-01T00:00:00Z");
    world.use_units("2026-01-05T00:00:00Z", 110);
    let before = world.subscription("2026-01-10T00:00:00Z");
    let item = before["items"]["data"][0]["id"].as_str().expect("it is there");
    let weekly = "currency=usd&unit_amount=3000&recurring[interval]=week&product_data[name]=Weekly";
    let now = "2026-01-10T00:00:00Z";
    let price = run(&mut world.state, at(now), crate::sandbox::prices::create, "", weekly);
    let form = format!("items[0][id]={item}&items[0][price]={}", price["id"].as_str().expect("it is there"));
    let after = world.update(now, &form);
    assert_eq!(period(&after, 0), (at(now), at("2026-01-17T00:00:00Z")));
    assert_eq!(period(&after, 1), (at(now), at("2026-02-10T00:00:00Z")));
    assert_eq!(world.totals(now), [3_000 + 20, 9_900]);
}
