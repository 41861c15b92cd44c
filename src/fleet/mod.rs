//! Several gateways that share a Redis.

mod link;
mod servers;

pub use link::{Link, Lost};
