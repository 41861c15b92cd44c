//! TLS: certificates and keys out of PEM, and how servers behind the gateway are known.
//!
//! # What it promises
//!
//! - A [`Certificate`] could be read, and its key fits: what is wrong with files is said when they are read.
//! - Nothing gets through that a connection would stumble over, or pingora panic at.
//! - No error quotes what it could not read: that may be a private key.

mod certificate;
mod pem;
mod upstream;

pub use certificate::{Certificate, Mismatch};
pub use pem::{Chain, PemError, PrivateKey, Roots};
pub use upstream::{Authorities, Own, is_verifiable};
