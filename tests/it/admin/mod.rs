//! The operator's port: customers seen and corrected, people's rights, the audit trail, statistics.

mod adjust;
mod audit;
mod charges;
mod customers;
mod people;
mod problems;
mod retention;
mod stats;

use http::Method;
use serde_json::Value;

use crate::harness::{ADMIN_TOKEN, Reply, World};

async fn delete(world: &World, path: &str) -> Reply {
    world.admin(Method::DELETE, path, Some(ADMIN_TOKEN)).await
}

/// The rows of a list.
fn rows(list: &Value) -> &Vec<Value> {
    list["data"].as_array().expect("a list")
}

/// What each row of a list has under a key.
fn each<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    rows(list).iter().map(|row| row[key].as_str().expect("a text")).collect()
}
