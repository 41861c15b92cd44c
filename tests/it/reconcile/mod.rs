//! What Stripe really holds, against what it should hold.

pub mod past;
mod rejected;
mod repair;
mod shown;
mod told;
mod unanswered;
