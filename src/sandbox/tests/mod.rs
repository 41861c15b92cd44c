//! The sandbox as its clients see it, over HTTP; and time, which only the pure core lets pass.

mod billing;
mod harness;
mod protocol;
mod time;
mod webhooks;
