//! How much a node asks for: about what it will use until the next call, and little where little is left.
//!
//! The fleet gives what a request needs as long as there is any, and of the rest no more than a part that shrinks with
//! what is free: a node may ask for more than it gets.

/// A claim is this many requests ahead of one that had to wait for it.
const REQUESTS_AHEAD: u64 = 8;
/// No node asks for more than this part of a limit at once.
const PART: u64 = 8;

/// Units beyond those that a request waits for, where so many were used of late.
pub fn ahead(short: u64, recent: u64, limit: u64) -> u64 {
    let ahead = recent.saturating_mul(2).max(short.saturating_mul(REQUESTS_AHEAD));
    ahead.min(limit / PART)
}

/// The claim that lasts until the call after the next, where `needed` units are used or in flight of it, and so many
/// were used between the last two calls; never below `claim`.
pub fn top_up(needed: u64, claim: u64, recent: u64, limit: u64) -> u64 {
    let lasting = needed.saturating_add(recent.saturating_mul(2).min(limit / PART));
    claim.max(lasting)
}
