//! A tier always ends equal to Stripe's truth, whatever the news' order, number and shape.

mod order;
mod page;
mod periods;
mod refused;
mod statuses;
mod upgrade;
