//! Billing: what Stripe says becomes the customers' state.
//!
//! # What it promises
//!
//! - An event is news that something changed; the truth is read again from Stripe. So events may come late, twice,
//!   reordered or in an old shape: the end state is Stripe's.
//! - Of two reads that overlap, the one that began later wins.
//! - Stripe being away is no try: the event waits. Only what waiting cannot cure is given up, after three tries, and
//!   kept with its reason.
//! - Nothing here is on the path of a proxied request.

mod apply;
mod daily;
mod ending;
mod listing;
mod notices;
mod read;
mod rejections;
mod transitions;
mod weekly;
pub mod worker;

pub use notices::{Notices, NoticesOptions, Target};
pub use worker::Billing;
