//! Which certificate a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// Certificates by the names that clients ask for.
#[derive(Debug)]
pub struct Certificates {
    /// Host names in lower case, and `*.` with one.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl Certificates {
    /// Each with the names that it is shown for; of two with one name, the earlier. None without any.
    pub fn new<'a>(certificates: impl IntoIterator<Item = (&'a Certificate, &'a [String])>) -> Option<Self> {
        let mut first = None;
        let mut by_name = HashMap::new();
        for (certificate, names) in certificates {
            first.get_or_insert_with(|| certificate.key.clone());
            for name in names {
                by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| certificate.key.clone());
            }
        }
        first.map(|first| Self { by_name, first })
    }

    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        })
    }

    pub(super) fn shown_for(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        name.and_then(|name| self.of(name)).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown_for(hello.server_name()).clone())
    }
}
