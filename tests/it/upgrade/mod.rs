//! Another process takes the place of the one that runs.

mod failures;
mod kinds;
mod load;
mod money;
mod rolling;
mod words;

use crate::harness::{Customer, Reply, World};

/// A connection of a client's own, which it keeps.
const GET: &str = "GET /signals HTTP/1.1";

/// The free tier with this many units.
fn free(units: u64) -> String {
    format!("[tiers.free]\nincluded = {{ api_calls = {units} }}\n")
}

async fn get_held(world: &World, customer: &Customer) -> tokio::task::JoinHandle<Reply> {
    let (asking, hits) = (customer.clone(), world.upstream.hits("/signals/history/HELD"));
    let asked = tokio::spawn(async move { asking.get("/signals/history/HELD").await });
    world.upstream.arrived("/signals/history/HELD", hits + 1).await;
    asked
}
