//! Values and decisions. Nothing here reads a clock, does I/O, awaits, locks or counts a metric: `now` is an
//! argument, and a decision is a value that somebody else acts on.

pub mod account;
pub mod anonymous;
pub mod balance;
pub mod buying;
pub mod catalogue;
pub mod cors;
pub mod credits;
pub mod facts;
pub mod header_rules;
pub mod idempotency;
pub mod lease;
pub mod measure;
pub mod methods;
pub mod money;
pub mod notice;
pub mod offer;
pub mod origin;
pub mod path;
pub mod period;
pub mod projection;
pub mod rate;
pub mod refusal;
pub mod revenue;
pub mod rewrite;
pub mod route;
pub mod span;
pub mod subscription;
pub mod tier;
pub mod units;
pub mod usage;
