//! Prepaid units: spent once, in order, never below nothing.

mod checked;
mod expiry;
mod order;
mod race;
mod refund;
mod restart;

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Customer, PATIENCE, Reply, World, until};

/// A default tier that lives on credits alone.
const ON_CREDITS: &str = "[tiers.free]\nincluded = { api_calls = 0 }";

/// Changes a customer's credits as an operator.
async fn change(world: &World, customer: &str, key: Option<&str>, body: &Value) -> Reply {
    let url = format!("http://{}/admin/customers/{customer}/credits", world.gateway.admin);
    let request = reqwest::Client::new().post(url).bearer_auth(ADMIN_TOKEN).json(body);
    let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Reply { status, headers, body: answer.bytes().await.expect("a whole answer") }
}

/// Grants credits that never expire to a customer who has been seen; answers the balance.
async fn grant(world: &World, customer: &Customer, units: u64) -> u64 {
    customer.status().await;
    let reply = change(world, &customer.name, None, &json!({ "amount": units, "reason": "a test" })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["balance"].as_u64().expect("a balance")
}

/// Credits that `/billing/status` shows.
async fn credits(customer: &Customer) -> u64 {
    customer.status().await["credits"].as_u64().expect("units")
}

/// Kind and units of each row of the history, the first first. The balance after each is the sum of all up to it.
async fn history(world: &World, customer: &str) -> Vec<(String, i64)> {
    let path = format!("/admin/customers/{customer}/credits?limit=1000");
    let reply = world.admin(http::Method::GET, &path, Some(ADMIN_TOKEN)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut rows = reply.json()["data"].as_array().expect("rows").clone();
    rows.reverse();
    let mut sum = 0;
    let read = |row: &Value| {
        let units = row["units"].as_i64().expect("units");
        sum += units;
        assert_eq!(row["balance"], sum, "after {row}");
        assert!(sum >= 0, "{row}");
        (row["kind"].as_str().expect("a kind").to_owned(), units)
    };
    rows.iter().map(read).collect()
}

/// The sum of all rows of a kind.
async fn sum_of(world: &World, customer: &str, kind: &str) -> i64 {
    let rows = history(world, customer).await;
    rows.iter().filter(|row| row.0 == kind).map(|row| row.1).sum()
}

/// Waits until all rows of a kind come to so many units.
async fn until_sum(world: &World, customer: &str, kind: &str, units: i64) {
    until(&format!("{kind} of {customer} comes to {units}"), PATIENCE, async || {
        (sum_of(world, customer, kind).await == units).then_some(())
    })
    .await;
}

/// Waits until the history's balance is so many units.
async fn until_balance(world: &World, customer: &str, units: i64) {
    until(&format!("the history of {customer} comes to {units}"), PATIENCE, async || {
        let sum: i64 = history(world, customer).await.iter().map(|row| row.1).sum();
        (sum == units).then_some(())
    })
    .await;
}
