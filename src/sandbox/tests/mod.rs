//! The sandbox as its clients see it, over HTTP; and time, which only the pure core lets pass.

mod billing;
mod changes;
mod checkout;
mod collection;
mod harness;
mod hooks;
mod lists;
mod payments;
mod protocol;
mod time;
mod webhooks;
mod world;
