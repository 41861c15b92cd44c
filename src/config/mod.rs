//! The configuration file: read once, completely, into values that need no further check.
//!
//! # Promises
//!
//! * A mistake changes nothing: [`parse`] returns a [`Config`] without any mistake, or every [`Diagnostic`] at once
//!   (a TOML syntax error alone, since what follows it cannot be understood).
//! * A diagnostic names file, line, column and key, says what is wrong and what to write instead.
//! * No secret is ever shown: not in a diagnostic's excerpt, not by `Debug`.
//! * Nothing in a file, however strange, makes this room panic.
//!
//! # Two steps
//!
//! 1. As written (`written`): `tree` parses the TOML with the place of every value and fills in `${NAME}`; each
//!    section then asks `read::Keys` for its keys, one by one. That one list of questions is the reader, the
//!    catalogue of known names and the JSON Schema, so the three cannot differ. Each value is wrong or right by itself.
//! 2. As checked (`checked`): what must hold between values, and the cross-linked catalogue.

use std::io::Read as _;
use std::path::Path;

pub use checked::Config;
pub use checked::auth::{Jwt, KeySource};
pub use checked::billing::{Billing, Paths};
pub use checked::callers::{ApiKeys, Callers};
pub use checked::doors::{Doors, H2, Limits};
pub use checked::fleet::{Fleet, OnRedisLoss};
pub use checked::ledger::Ledger;
pub use checked::log::Log;
pub use checked::outgoing::Target;
pub use checked::retention::Retention;
pub use checked::selling::{Proration, Selling, WebhookMode};
pub use checked::server::Server;
pub use checked::stripe::{Mode, SANDBOX_SECRET_KEY, SANDBOX_WEBHOOK_SECRET, Stripe};
pub use checked::tls::{Certificate, Tls};
pub use checked::upstreams::{Eject, HealthCheck, Timeouts, Upstream, UpstreamServer, UpstreamTls};
pub use checked::watching::{AccessLog, Tracing};
pub use diagnostic::{Diagnostic, Diagnostics, Excerpt, Severity};
pub use restart::needs_restart;
pub use seen::Seen;
pub use values::address::HostPort;
pub use values::algorithm::{Algorithm, Family};
pub use values::cidr::Cidr;
pub use values::pem::Pem;
pub use values::redis::{Layout, Redis};
pub use values::secret::Secret;
pub use values::span::duration;
pub use written::{
    Balance, CertificateName, ClientAuth, Durability, Forwarded, Http, LogField, LogFormat, Resolve,
    TlsVersion,
};

mod checked;
mod containers;
mod diagnostic;
mod expand;
mod findings;
mod read;
mod restart;
mod seen;
mod source;
mod tree;
mod values;
mod written;

#[cfg(test)]
mod tests;

/// What `tollgate demo` runs.
pub const DEMO: &str = include_str!("../../config/demo.toml");

/// A configuration beyond this is not one that a person wrote.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read at all; a sentence.
    #[error("{0}")]
    Io(String),
    #[error("{0}")]
    Mistakes(Diagnostics),
}

/// Reads and checks a file, with the process's environment.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let itself = Seen::new(path);
    let text = read_file(path).map_err(|error| {
        LoadError::Io(format!("cannot read the configuration {}: {error}", path.display()))
    })?;
    let config = parse(&text, path, &|name| std::env::var(name).ok()).map_err(LoadError::Mistakes)?;
    let named = config.files.iter().map(|path| Seen::new(path));
    let seen = std::iter::once(itself).chain(named).collect();
    Ok(Config { file: Some(path.to_owned()), seen, ..config })
}

/// Checks a text. Reads nothing but the files that `{ file = "…" }` names, relative to the folder of `path`.
pub fn parse(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Diagnostics> {
    let mut reader = read::Reader::new(path.parent().unwrap_or(Path::new("")));
    let config = tree::parse(text, env, &mut reader.found)
        .and_then(|root| read::Read::read(&root, &mut reader))
        .and_then(|written| checked::check(&written, &mut reader.found));
    let diagnostics = source::Source::new(text, path).explain(reader.found);
    match config {
        Some(config) if !diagnostics.has_errors() => {
            Ok(Config { warnings: diagnostics.into_vec(), files: reader.files, ..config })
        }
        _ => Err(diagnostics),
    }
}

/// The JSON Schema (draft 2020-12) of the file.
pub fn schema() -> serde_json::Value {
    let mut schema = <written::Root as read::Read>::schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Tollgate configuration".into();
    schema
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    let read = file.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}
