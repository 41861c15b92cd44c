//! API keys: credentials that the operator hands out, beside the tokens of an issuer.
//!
//! What holds here:
//! - A key is shown once, when it is made. What is kept of it is its id and a digest, of which nobody can make the key.
//! - A key stands for the customer that it was made for, and for nobody else, until it expires or is revoked; from then
//!   on it is refused.
//! - No key appears in a log, an error or a `Debug`.
//!
//! `text` is how a key is written, `table` which ones are in force. Where they are kept is the store's.

mod table;
mod text;

pub use table::{KeyRecord, KeyTable};
pub use text::{KeyDigest, KeyId, NewKey, Presented};
