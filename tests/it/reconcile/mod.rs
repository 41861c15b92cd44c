//! What Stripe really holds, against what it should hold.

mod past;
mod rejected;
mod repair;
mod shown;
mod unanswered;
