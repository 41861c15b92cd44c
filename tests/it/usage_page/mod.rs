//! The usage page: customers come by a link, see what they have used, and buy, change and cancel.
//!
//! - [`links`] who is let in, and how often
//! - [`forms`] what a form does, and what only looks like one
//! - [`shown`] what stands on the page
//! - [`fleet`] a link of one gateway at another

mod browser;
mod fleet;
mod forms;
mod links;
mod shown;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Customer, Reply, World};
use browser::{Browser, Form};

async fn ask_link(customer: &Customer, body: &Value) -> Reply {
    customer.ask(Method::POST, "/billing/link", |request| request.json(body)).await
}

async fn link(customer: &Customer) -> String {
    let reply = ask_link(customer, &json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["url"].as_str().expect("a link").to_owned()
}

/// A browser that has come by a link of the customer's.
async fn visitor(world: &World, customer: &Customer) -> Browser {
    let browser = Browser::new(world.gateway.public);
    browser.enter(&link(customer).await).await;
    browser
}

/// Where the page sends a browser on to.
fn sent_on(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let to = reply.header("refresh").and_then(|to| to.strip_prefix("0; url=")).expect("an address");
    assert!(
        reply.text().contains(&format!("href=\"{}\"", to.replace('&', "&amp;"))),
        "there is a link as well"
    );
    to.to_owned()
}

/// Where a form leads back to.
fn back(reply: &Reply) -> &str {
    assert_eq!(reply.status, 303, "{}", reply.text());
    reply.header("location").expect("an address")
}
