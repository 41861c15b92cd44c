//! TLS: certificates and keys out of PEM, what a handshake with a client agrees on and whom its certificate names, and
//! how servers behind the gateway are known.
//!
//! # What it promises
//!
//! - A [`Certificate`] could be read, and its key fits: what is wrong with files is said when they are read.
//! - A client that asks for a name is shown the certificate of that name, else that of `*.` and what follows its first
//!   label, else the first one.
//! - Nothing is agreed on that is older than TLS 1.2, and nothing is taken before the handshake is over.
//! - Where clients show certificates, each connection shows one that holds now: no earlier session stands in for it.
//! - Nothing gets through that a connection would stumble over, or pingora panic at.
//! - No error quotes what it could not read: that may be a private key.

mod certificate;
mod certificates;
mod peer;
mod pem;
mod server;
#[cfg(test)]
mod tests;
mod upstream;

pub use certificate::{Certificate, Mismatch};
pub use certificates::Certificates;
pub use peer::{common_name, dns_name, email, fingerprint, uri};
pub use pem::{Chain, PemError, PrivateKey, Roots};
pub use server::{Clients, Oldest, Tickets, Wishes};
pub use upstream::{Authorities, Own, is_verifiable};
