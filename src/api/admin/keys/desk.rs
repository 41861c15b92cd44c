//! The desk where keys are handed out: what is asked for is checked, made and written down. The gateway has one for its
//! operator's port, and the command line makes its own where no gateway runs.

use std::sync::Arc;

use serde::Deserialize;

use crate::api::{Failed, instant};
use crate::auth::keys::NewKey;
use crate::domain::span::parse_span;
use crate::problem::{Code, Problem};
use crate::store::{ApiKeyRow, NewApiKey, Replaced, Replacement, Store};

const OPERATOR: &str = "operator";
const LONGEST_NAME: usize = 100;
const LONGEST_CUSTOMER: usize = 256;
const MOST_SCOPES: usize = 128;
/// How long a key works beside the one that takes its place.
const USUAL_OVERLAP: &str = "24h";

/// What a new key should be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedKey {
    /// Who pays, as tokens name them; left out: a customer of the key's own.
    pub customer: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Left out: everything.
    pub scopes: Option<Vec<String>>,
    /// An instant.
    pub expires: Option<String>,
    pub stripe_customer: Option<String>,
}

/// How a key should be replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedRotation {
    /// How long the old key goes on working.
    pub overlap: Option<String>,
    /// An instant; left out: the new key lives as long as the old one was made for.
    pub expires: Option<String>,
}

/// A key that was made: this is the one time that it can be shown.
#[derive(Debug)]
pub struct MadeKey {
    pub row: ApiKeyRow,
    pub key: NewKey,
}

/// Hands out keys.
pub struct KeyDesk {
    store: Arc<Store>,
    /// Those that routes ask for.
    scopes: Arc<[String]>,
    /// What new ones begin with; `None`: keys are off.
    prefix: Option<Arc<str>>,
}

impl KeyDesk {
    pub fn new(store: Arc<Store>, scopes: &[String], prefix: Option<&str>) -> Self {
        Self { store, scopes: scopes.into(), prefix: prefix.map(Into::into) }
    }

    /// Makes a key.
    pub async fn create(&self, wanted: WantedKey, now: i64) -> Result<MadeKey, Failed> {
        let key = self.fresh()?;
        let customer = match wanted.customer {
            // No claim can spell a space.
            None => format!("key {}", key.id),
            Some(name) => checked_customer(name)?,
        };
        let new = NewApiKey {
            id: key.id.to_string(),
            digest: key.digest().to_bytes(),
            customer,
            stripe_customer: wanted.stripe_customer.map(checked_stripe_customer).transpose()?,
            name: checked_name(wanted.name.as_deref())?,
            scopes: wanted.scopes.map(|scopes| self.checked_scopes(scopes)).transpose()?,
            expires_at: wanted.expires.as_deref().map(|at| instant_after(at, now)).transpose()?,
        };
        let row = self.store.add_api_key(new, OPERATOR, now).await?;
        tracing::info!(key = row.id, "key_created");
        Ok(MadeKey { row, key })
    }

    /// Makes a key that takes the place of another one.
    pub async fn rotate(&self, id: &str, wanted: WantedRotation, now: i64) -> Result<MadeKey, Failed> {
        let overlap = wanted.overlap.as_deref().unwrap_or(USUAL_OVERLAP);
        let overlap = parse_span(overlap).ok_or_else(|| refused("overlap is a span: 0s, 15m, 24h, 7d"))?;
        let before = self.store.api_key(id.to_owned()).await?.ok_or_else(unknown)?;
        let as_long = before.key.expires_at.map(|at| now.saturating_add(at - before.key.created_at));
        let expires = wanted.expires.as_deref().map(|at| instant_after(at, now)).transpose()?;
        let key = self.fresh()?;
        let new = Replacement {
            id: key.id.to_string(),
            digest: key.digest().to_bytes(),
            expires_at: expires.or(as_long),
            until: now.saturating_add_unsigned(overlap),
        };
        match self.store.replace_api_key(id.to_owned(), new, OPERATOR, now).await? {
            Replaced::By(row) => {
                tracing::info!(key = id, by = row.id, "key_rotated");
                Ok(MadeKey { row, key })
            }
            Replaced::Unknown => Err(unknown()),
            Replaced::NotInForce(row) => Err(not_in_force(&row)),
        }
    }

    /// Ends a key at once. It is no mistake to do so twice.
    pub async fn revoke(&self, id: &str, now: i64) -> Result<ApiKeyRow, Failed> {
        let row = self.store.revoke_api_key(id.to_owned(), OPERATOR, now).await?.ok_or_else(unknown)?;
        tracing::info!(key = id, "key_revoked");
        Ok(row)
    }

    fn fresh(&self) -> Result<NewKey, Failed> {
        let Some(prefix) = &self.prefix else {
            let detail = "API keys are off: add [auth.keys] to the configuration";
            return Err(Problem::new(Code::Conflict, detail).into());
        };
        NewKey::random(prefix).map_err(|error| {
            tracing::error!(%error, "there are no random numbers for a key");
            Problem::new(Code::Internal, "something went wrong here; try again").into()
        })
    }

    fn checked_scopes(&self, scopes: Vec<String>) -> Result<Vec<String>, Failed> {
        if scopes.len() > MOST_SCOPES {
            return Err(refused(format!("a key has at most {MOST_SCOPES} scopes")));
        }
        match scopes.iter().find(|scope| !self.scopes.contains(scope)) {
            None => Ok(scopes),
            Some(_) if self.scopes.is_empty() => Err(refused("no route asks for a scope")),
            Some(odd) => Err(refused(format!(
                "no route asks for the scope {odd:?}: there are {}",
                self.scopes.join(", ")
            ))),
        }
    }
}

fn checked_customer(name: String) -> Result<String, Failed> {
    let is_name =
        (1..=LONGEST_CUSTOMER).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name {
        Ok(name)
    } else {
        Err(refused("customer is 1 to 256 visible ASCII characters, without spaces"))
    }
}

fn checked_stripe_customer(id: String) -> Result<String, Failed> {
    let plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_id = id.len() <= 255 && id.strip_prefix("cus_").is_some_and(|id| !id.is_empty() && plain(id));
    if is_id { Ok(id) } else { Err(refused("stripe_customer is the id of a customer at Stripe, cus_…")) }
}

fn checked_name(name: Option<&str>) -> Result<String, Failed> {
    let name = name.unwrap_or_default().trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(refused(format!(
            "give the key a name of at most {LONGEST_NAME} characters, to know it by"
        )));
    }
    Ok(name.to_owned())
}

fn instant_after(text: &str, now: i64) -> Result<i64, Failed> {
    let at = instant::parse(text)
        .ok_or_else(|| refused("expires is an instant: 2027-11-20T13:00:00Z or 2027-11-20"))?;
    if at > now { Ok(at) } else { Err(refused("expires has passed")) }
}

fn not_in_force(row: &ApiKeyRow) -> Failed {
    let detail = match (&row.key.replaced_by, row.key.revoked_at) {
        (_, Some(_)) => "this key has been revoked: make another one".into(),
        (Some(by), None) => format!("the key {by} has taken its place: rotate that one"),
        (None, None) => "this key has expired: make another one".into(),
    };
    Problem::new(Code::Conflict, detail).into()
}

pub(super) fn unknown() -> Failed {
    Problem::new(Code::NotFound, "there is no key of this id").into()
}

fn refused(detail: impl Into<String>) -> Failed {
    Problem::new(Code::Unprocessable, detail.into()).into()
}
