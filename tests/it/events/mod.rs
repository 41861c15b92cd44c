//! Stripe's events, whatever they are of and in whatever order they come.

mod any_order;
mod life;
