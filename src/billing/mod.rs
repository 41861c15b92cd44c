//! Billing: what Stripe says becomes the customers' state.
//!
//! # What it promises
//!
//! - An event is news that something changed; the truth is read again from Stripe. So events may come late, twice,
//!   reordered or in an old shape: the end state is Stripe's.
//! - Of two reads that overlap, the one that began later wins.
//! - Stripe being away is no try: the event waits. Only what waiting cannot cure is given up, after three tries, and
//!   kept with its reason.
//! - What was paid for is granted once, however often it is told.
//! - The shadow (`webhook_mode = "shadow"`) does all of that with events but change anything: it says what it would
//!   have changed. What is read without an event (at first sight, when a period ends, at night) is stored all the same,
//!   and what Stripe finds wrong with our own meter events is noted: no other handler has sent those.
//! - News that is missed is made up for: at the start and every night everything is read again ([`sync`]). A
//!   subscription of which nothing is heard keeps its tier for a grace, and no longer.
//! - Nothing here is on the path of a proxied request.

mod apply;
mod changes;
mod credits;
mod daily;
mod ending;
mod events;
pub mod fleet;
mod forward;
mod grouping;
mod kinds;
mod listing;
mod notices;
mod overrides;
mod payments;
mod prices;
mod read;
mod rejections;
mod second;
mod shop;
mod silence;
pub mod sync;
mod transitions;
mod weekly;
pub mod worker;

pub use credits::close_expired;
pub use forward::{ForwardTo, Outgoing};
pub use kinds::{applied_kinds, arrival, is_applied, is_of_other_mode};
pub use notices::{Notices, NoticesOptions, Target};
pub use overrides::end_overrides;
pub use shop::{Buyer, Done, Goods, Order, Shop, ShopError, ShopSettings, Wanted};
pub use sync::Sync;
pub use transitions::note_state;
pub use worker::{Billing, Handling};
