//! Links to the usage page: each lets one customer in, once, for five minutes.
//!
//! # What it promises
//!
//! - A link says whom it is for under AEAD: nobody makes one, changes one, or reads a name out of one.
//! - It is used once, whatever happens: alone the store remembers its use; in a fleet it lies in Redis until a node
//!   takes it, so that one which Redis has lost is used by nobody. Without Redis none is made and none is used.
//! - Every node opens what another has made: the key follows from a secret that all of them have.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::customers::Entry;
use crate::domain::anonymous::is_anonymous;
use crate::fleet::Fleet;
use crate::live::Live;
use crate::problem::{Code, Problem};
use crate::seal::Sealer;
use crate::store::{Begun, Sha256Digest, Store, StoreError};

/// How long a link can be used.
pub const LINK_LASTS: Duration = Duration::from_mins(5);
/// What a link is sealed as, and what its key is derived for.
const CONTEXT: &str = "link to the usage page";

/// What links are made with.
pub struct LinkSettings {
    sealer: Option<Sealer>,
    /// Where they lead, without the link itself; none without a public URL.
    to: Option<String>,
}

impl LinkSettings {
    /// The first secret makes links, all of them open them.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>, to: Option<String>) -> Self {
        Self { sealer: Sealer::new(secrets.into_iter().map(key)), to }
    }
}

/// Another than for anything else that the secret is used for.
fn key(secret: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(CONTEXT.as_bytes());
    mac.finalize().into_bytes().into()
}

/// What a link holds.
#[derive(Serialize, Deserialize)]
struct Ticket {
    id: String,
    customer: String,
    /// The customer's, on the node that made it.
    number: u32,
    /// Seconds since the epoch.
    expires: i64,
    return_url: Option<String>,
}

/// A link that was made.
#[derive(Debug)]
pub struct MadeLink {
    pub url: String,
    pub expires_at: i64,
}

/// Whom a link lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    pub customer: String,
    /// Where their app is.
    pub return_url: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("links to the usage page need server.public_url; ask the operator to set it")]
    NoAddress,
    #[error("anonymous customers have no usage page: there is nobody to show it to")]
    Anonymous,
    #[error("this is not a link of ours; ask the app for one")]
    Forged,
    #[error("this link has been used, or is older than five minutes; ask the app for another")]
    Spent,
    #[error("links cannot be checked now: the gateways cannot reach each other; try again")]
    Away,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system has no randomness")]
    Unsealed,
}

impl LinkError {
    /// In words for whoever asked.
    pub fn problem(self) -> Problem {
        let code = match self {
            Self::NoAddress | Self::Anonymous => Code::Unprocessable,
            Self::Forged => Code::TokenInvalid,
            Self::Spent => Code::TokenExpired,
            Self::Away => Code::FleetUnavailable,
            Self::Store(_) | Self::Unsealed => {
                tracing::error!(error = %self, "a link to the usage page failed");
                return Problem::new(Code::Internal, "something went wrong here; try again");
            }
        };
        Problem::new(code, self.to_string())
    }
}

pub struct Links {
    store: Arc<Store>,
    /// None where this gateway is the only one.
    fleet: Option<Arc<Fleet>>,
    settings: Live<LinkSettings>,
}

impl Links {
    pub fn new(store: Arc<Store>, fleet: Option<Arc<Fleet>>, settings: LinkSettings) -> Self {
        Self { store, fleet, settings: Live::new(Arc::new(settings)) }
    }

    /// Links are made with other settings from now on.
    pub fn set(&self, settings: LinkSettings) {
        self.settings.set(Arc::new(settings));
    }

    /// A link for a customer. `return_url` has been checked.
    pub async fn make(&self, entry: &Entry, return_url: Option<String>) -> Result<MadeLink, LinkError> {
        let settings = self.settings.now();
        let to = settings.to.as_ref().ok_or(LinkError::NoAddress)?;
        if is_anonymous(&entry.name) {
            return Err(LinkError::Anonymous);
        }
        let kept = i64::try_from(LINK_LASTS.as_secs()).unwrap_or(i64::MAX);
        let expires = clock::now().seconds().saturating_add(kept);
        let ticket = Ticket {
            id: uuid::Uuid::new_v4().simple().to_string(),
            customer: entry.name.to_string(),
            number: entry.number,
            expires,
            return_url,
        };
        let link = settings.seal(&ticket).ok_or(LinkError::Unsealed)?;
        if let Some(fleet) = &self.fleet {
            fleet.lay_ticket(&ticket.id, LINK_LASTS).await.map_err(|_| LinkError::Away)?;
        }
        Ok(MadeLink { url: format!("{to}{link}"), expires_at: expires })
    }

    /// Uses a link up, at an instant in seconds since the epoch.
    pub async fn open(&self, link: &str, now: i64) -> Result<Visitor, LinkError> {
        let ticket = self.settings.now().open(link).ok_or(LinkError::Forged)?;
        if ticket.expires <= now || !self.take(&ticket, now).await? {
            return Err(LinkError::Spent);
        }
        Ok(Visitor { customer: ticket.customer, return_url: ticket.return_url })
    }

    /// Whether this is the first use of a ticket.
    async fn take(&self, ticket: &Ticket, now: i64) -> Result<bool, LinkError> {
        if let Some(fleet) = &self.fleet {
            return fleet.take_ticket(&ticket.id).await.map_err(|_| LinkError::Away);
        }
        // No client's Idempotency-Key has this digest: theirs are visible ASCII.
        let key: Sha256Digest = Sha256::digest(format!("\0link {}", ticket.id)).into();
        Ok(self.store.begin_operation(ticket.number, key, key, now).await? == Begun::New)
    }
}

impl LinkSettings {
    fn seal(&self, ticket: &Ticket) -> Option<String> {
        let ticket = serde_json::to_vec(ticket).ok()?;
        Some(URL_SAFE_NO_PAD.encode(self.sealer.as_ref()?.seal(CONTEXT, &ticket)?))
    }

    fn open(&self, link: &str) -> Option<Ticket> {
        let sealed = URL_SAFE_NO_PAD.decode(link).ok()?;
        serde_json::from_slice(&self.sealer.as_ref()?.open(CONTEXT, &sealed)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn settings(secrets: &[&str]) -> LinkSettings {
        let secrets = secrets.iter().map(|secret| secret.as_bytes());
        LinkSettings::new(secrets, Some("https://api.example/billing/open?link=".to_owned()))
    }

    fn ticket(id: &str) -> Ticket {
        let return_url = Some("https://app.example/".to_owned());
        Ticket { id: id.to_owned(), customer: "acme".to_owned(), number: 7, expires: NOW + 300, return_url }
    }

    fn links(secrets: &[&str]) -> (tempfile::TempDir, Links) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        (folder, Links::new(Arc::new(store), None, settings(secrets)))
    }

    fn said(opened: Result<Visitor, LinkError>) -> Result<String, Code> {
        opened.map(|visitor| visitor.customer).map_err(|error| error.problem().code)
    }

    #[tokio::test]
    async fn a_link_lets_one_customer_in_once() {
        let (_folder, links) = links(&["a secret"]);
        let (one, other) =
            (settings(&["a secret"]).seal(&ticket("1")), settings(&["a secret"]).seal(&ticket("2")));
        let (one, other) = (one.expect("seals"), other.expect("seals"));
        assert!(!one.contains("acme"));
        let visitor = links.open(&one, NOW).await.expect("it is new");
        let return_url = Some("https://app.example/".to_owned());
        assert_eq!(visitor, Visitor { customer: "acme".to_owned(), return_url });
        for _ in 0..2 {
            assert_eq!(said(links.open(&one, NOW + 1).await), Err(Code::TokenExpired), "it has been used");
        }
        assert_eq!(said(links.open(&other, NOW).await), Ok("acme".to_owned()), "each by itself");
    }

    #[tokio::test]
    async fn of_many_who_use_a_link_at_once_one_comes_in() {
        let (_folder, links) = links(&["a secret"]);
        let link = settings(&["a secret"]).seal(&ticket("1")).expect("seals");
        let all = futures_util::future::join_all((0..20).map(|_| links.open(&link, NOW))).await;
        assert_eq!(all.into_iter().flatten().count(), 1);
    }

    #[tokio::test]
    async fn a_link_ends_after_five_minutes() {
        let (_folder, links) = links(&["a secret"]);
        let link = settings(&["a secret"]).seal(&ticket("1")).expect("seals");
        assert_eq!(said(links.open(&link, NOW + 300).await), Err(Code::TokenExpired));
        assert_eq!(said(links.open(&link, NOW + 299).await), Ok("acme".to_owned()), "it was not used up");
    }

    #[tokio::test]
    async fn a_link_that_was_not_made_here_opens_nothing() {
        let (_folder, links) = links(&["a secret"]);
        let link = settings(&["a secret"]).seal(&ticket("1")).expect("seals");
        let foreign = settings(&["another secret"]).seal(&ticket("1")).expect("seals");
        let mut changed = link.clone().into_bytes();
        changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("text");
        for wrong in ["", "x", "%", foreign.as_str(), changed.as_str(), &link[..link.len() - 1]] {
            assert_eq!(said(links.open(wrong, NOW).await), Err(Code::TokenInvalid), "{wrong}");
        }
        assert_eq!(said(links.open(&link, NOW).await), Ok("acme".to_owned()));
    }

    #[tokio::test]
    async fn a_secret_that_is_being_rolled_still_opens_what_it_made() {
        let (_folder, links) = links(&["a newer secret", "a secret"]);
        let link = settings(&["a secret"]).seal(&ticket("1")).expect("seals");
        assert_eq!(said(links.open(&link, NOW).await), Ok("acme".to_owned()));
        links.set(settings(&["a newer secret"]));
        let link = settings(&["a secret"]).seal(&ticket("2")).expect("seals");
        assert_eq!(said(links.open(&link, NOW).await), Err(Code::TokenInvalid));
    }
}
