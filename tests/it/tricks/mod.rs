//! Tricks from the public literature on request smuggling, path confusion and header spoofing, sent as raw bytes.
//!
//! Behind the gateway stands a [`witness`] that keeps every byte it gets. Whatever a client sent, these hold:
//!
//! - The bytes are one row of requests, read by the letter of RFC 9112, and the same row to servers that are not so
//!   strict ([`reading`]): nothing is hidden in a body, a header or a line's end.
//! - Each of them is in the ledger, under its id, at the price of its path, in whatever way a server may read that
//!   path; and nothing else is there.
//! - Each says once whose it is, and it is the customer whose token was sent.
//!
//! Sources: RFC 9112 and 9110; `PortSwigger`'s and Linhart's papers on request smuggling, `smuggler`'s list of
//! `Transfer-Encoding` spellings, Orange Tsai's "Breaking Parser Logic", "hop-by-hop headers abuse", and the
//! advisories on `X-HTTP-Method-Override`, `X-Original-URL` and `..;/`.

mod chunks;
mod framing;
mod lines;
mod mutations;
mod names;
mod paths;
mod play;
mod reading;
mod witness;

use play::play;

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_never_hide_a_request() {
    play("framing", framing::TRICKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_never_hide_a_request() {
    play("chunks", chunks::TRICKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_lines_are_refused_or_mean_one_request() {
    play("lines", lines::TRICKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_is_cheaper() {
    play("paths", paths::TRICKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_changes_who_pays_or_what() {
    play("names", names::TRICKS).await;
}
