//! Routes, tokens, headers, refusals, and our own endpoints.

mod bodies;
mod early;
mod forwarding;
mod keys;
mod limits_shown;
mod own;
mod paths;
mod refusals;
mod short_way;
mod tokens;
mod websockets;
