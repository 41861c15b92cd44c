//! Who calls, beside tokens.

mod anonymous;
mod command;
mod failures;
mod keys;
mod members;
mod scopes;
mod secrets;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Customer, Reply, World};

/// API keys are accepted.
pub const KEYS: &str = "[auth.keys]\nenabled = true";

/// A key that was made.
pub struct Made {
    pub id: String,
    pub key: String,
}

/// Makes a key.
pub async fn make(world: &World, wanted: &Value) -> Made {
    let reply = world.operate("/admin/keys", wanted).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Made::read(&reply.json())
}

impl Made {
    fn read(made: &Value) -> Self {
        let text = |key: &str| made[key].as_str().expect("a text").to_owned();
        Self { id: text("id"), key: text("key") }
    }

    /// Who calls with it.
    pub fn caller(&self, world: &World, customer: &str) -> Customer {
        world.customer(customer).showing(&self.key)
    }
}

/// A key of a customer's, and who calls with it.
async fn caller(world: &World, customer: &str) -> (Made, Customer) {
    let made = make(world, &json!({ "customer": customer, "name": "of a test" })).await;
    let caller = made.caller(world, customer);
    (made, caller)
}

async fn revoke(world: &World, id: &str) -> Reply {
    world.admin(Method::DELETE, &format!("/admin/keys/{id}"), Some(ADMIN_TOKEN)).await
}

const INVALID: u16 = 401;

fn refused(code: &str) -> (u16, String) {
    (INVALID, code.to_owned())
}
