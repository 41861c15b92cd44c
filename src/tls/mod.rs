//! Certificates and keys: from the text of PEM files to what TLS is spoken with.
//!
//! # What it promises
//!
//! - What is read here can be used: nothing that a connection would stumble over, or panic at, gets through.
//! - A private key is shown nowhere.

pub mod pem;
pub mod upstream;
