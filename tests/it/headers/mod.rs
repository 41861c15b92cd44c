//! Header rules, and what the API hears of where a request came from.

mod hops;
mod rules;
