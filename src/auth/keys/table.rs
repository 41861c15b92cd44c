//! The keys that are in force, by their ids.
//!
//! What is taken out of the table is refused from then on: nothing remembers that it was good. Requests look keys up
//! at once; whoever changes a customer's keys sets them anew, all of them, one after the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use http::HeaderValue;

use super::text::{KeyDigest, KeyId, Presented};
use crate::auth::{AuthError, Identity, Scopes, Source};

/// Requests with different keys rarely wait for the same lock.
const SHARDS: usize = 64;
const MINUTE: i64 = 60;

/// A key as it is known.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    pub id: KeyId,
    pub digest: KeyDigest,
    pub scopes: Scopes,
    /// Seconds since the epoch; `None`: never.
    pub expires_at: Option<i64>,
}

/// One in force.
struct Known {
    digest: KeyDigest,
    expires_at: Option<i64>,
    identity: Arc<Identity>,
    /// In minutes since the epoch; 0 since it was last told.
    used: AtomicU32,
}

/// All of them.
pub struct KeyTable {
    shards: [RwLock<HashMap<KeyId, Known>>; SHARDS],
    /// The ids of each customer's. Held by whoever changes anything.
    of_customers: Mutex<HashMap<Arc<str>, Vec<KeyId>>>,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), of_customers: Mutex::default() }
    }
}

impl KeyTable {
    /// Who shows a key. How long it takes tells at most whether there is a key of that id, which is no secret.
    ///
    /// # Errors
    /// When it is no key, or none that is in force.
    pub fn identify(&self, text: &[u8], now_seconds: i64) -> Result<Arc<Identity>, AuthError> {
        let key = Presented::parse(text).ok_or(AuthError::KeyUnknown)?;
        let digest = key.digest();
        let shard = self.shards[key.id.place(SHARDS)].read().unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(&key.id).filter(|known| known.digest.is(&digest));
        let known = known.ok_or(AuthError::KeyUnknown)?;
        if known.expires_at.is_some_and(|at| at <= now_seconds) {
            return Err(AuthError::KeyExpired);
        }
        known.note_use(now_seconds);
        Ok(known.identity.clone())
    }

    /// These, and no others, are a customer's keys from now on.
    pub fn set(&self, customer: &str, keys: Vec<KeyRecord>) {
        let mut of_customers = self.of_customers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = of_customers.remove(customer).unwrap_or_default();
        for gone in before.iter().filter(|id| keys.iter().all(|key| key.id != **id)) {
            self.write(*gone, |shard| drop(shard.remove(gone)));
        }
        if keys.is_empty() {
            return;
        }
        let name: Arc<str> = customer.into();
        let Ok(header) = HeaderValue::from_str(&name) else {
            tracing::error!("keys of a customer whose name no header can hold are not in force");
            return;
        };
        of_customers.insert(name.clone(), keys.iter().map(|key| key.id).collect());
        for key in keys {
            let identity = identity(&name, &header, &key);
            self.write(key.id, |shard| {
                let used = shard.get(&key.id).map_or(0, |known| known.used.load(Ordering::Relaxed));
                let KeyRecord { digest, expires_at, .. } = key;
                shard.insert(key.id, Known { digest, expires_at, identity, used: used.into() });
            });
        }
    }

    /// The keys that have been used since this was last asked, and when, in seconds.
    pub fn take_uses(&self) -> Vec<(KeyId, i64)> {
        let mut uses = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            uses.extend(shard.iter().filter_map(|(id, known)| Some((*id, known.take_use()?))));
        }
        uses
    }

    fn write(&self, id: KeyId, change: impl FnOnce(&mut HashMap<KeyId, Known>)) {
        change(&mut self.shards[id.place(SHARDS)].write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Known {
    /// Written once a minute: who uses a key all the time does not fight for it.
    fn note_use(&self, now_seconds: i64) {
        let minute = u32::try_from(now_seconds / MINUTE).unwrap_or(0);
        if self.used.load(Ordering::Relaxed) != minute {
            self.used.store(minute, Ordering::Relaxed);
        }
    }

    fn take_use(&self) -> Option<i64> {
        let minute = self.used.swap(0, Ordering::Relaxed);
        (minute != 0).then(|| i64::from(minute) * MINUTE)
    }
}

/// The member is the key: no claim can spell a space.
fn identity(customer: &Arc<str>, header: &HeaderValue, key: &KeyRecord) -> Arc<Identity> {
    Arc::new(Identity {
        customer: customer.clone(),
        customer_header: header.clone(),
        member: Some(format!("key {}", key.id).into()),
        // The link was made with the key.
        stripe_customer: None,
        scopes: key.scopes.clone(),
        source: Source::Key,
        member_number: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::text::NewKey;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn made(expires_at: Option<i64>) -> (NewKey, KeyRecord) {
        let key = NewKey::random("tgk").unwrap();
        let record = KeyRecord { id: key.id, digest: key.digest(), scopes: Scopes::All, expires_at };
        (key, record)
    }

    fn customer(table: &KeyTable, text: &str) -> Result<String, AuthError> {
        table.identify(text.as_bytes(), NOW).map(|identity| identity.customer.to_string())
    }

    #[test]
    fn a_key_stands_for_its_customer_until_it_is_taken_away() {
        let table = KeyTable::default();
        let ((one, first), (other, second)) = (made(None), made(None));
        table.set("acme", vec![first.clone(), second]);
        assert_eq!(customer(&table, one.expose()), Ok("acme".into()));
        assert_eq!(customer(&table, other.expose()), Ok("acme".into()));
        table.set("acme", vec![first]);
        assert_eq!(customer(&table, one.expose()), Ok("acme".into()));
        assert_eq!(customer(&table, other.expose()), Err(AuthError::KeyUnknown));
        table.set("somebody else", Vec::new());
        assert_eq!(customer(&table, one.expose()), Ok("acme".into()));
        table.set("acme", Vec::new());
        assert_eq!(customer(&table, one.expose()), Err(AuthError::KeyUnknown));
    }

    #[test]
    fn the_id_alone_opens_nothing() {
        let table = KeyTable::default();
        let (key, record) = made(None);
        table.set("acme", vec![record]);
        let text = key.expose();
        let last = if text.ends_with('A') { 'B' } else { 'A' };
        let forged = format!("{}{last}", &text[..text.len() - 1]);
        assert_eq!(customer(&table, &forged), Err(AuthError::KeyUnknown));
        assert_eq!(customer(&table, &text.replacen("tgk", "tgx", 1)), Err(AuthError::KeyUnknown));
        assert_eq!(customer(&table, "garbage"), Err(AuthError::KeyUnknown));
    }

    #[test]
    fn a_key_ends_with_its_last_second() {
        let table = KeyTable::default();
        for (expires_at, expected) in [(NOW + 1, Ok("acme".to_owned())), (NOW, Err(AuthError::KeyExpired))] {
            let (key, record) = made(Some(expires_at));
            table.set("acme", vec![record]);
            assert_eq!(customer(&table, key.expose()), expected);
        }
    }

    #[test]
    fn a_use_is_told_once_and_not_forgotten_when_keys_are_set_anew() {
        let table = KeyTable::default();
        let ((key, record), (_, unused)) = (made(None), made(None));
        table.set("acme", vec![record.clone(), unused]);
        customer(&table, key.expose()).unwrap();
        table.set("acme", vec![record.clone()]);
        assert_eq!(table.take_uses(), [(record.id, NOW)]);
        assert_eq!(table.take_uses(), []);
        customer(&table, key.expose()).unwrap();
        assert_eq!(table.take_uses(), [(record.id, NOW)]);
    }

    #[test]
    fn a_key_is_the_member_that_calls() {
        let table = KeyTable::default();
        let (key, record) = made(None);
        table.set("key abc", vec![record]);
        let identity = table.identify(key.expose().as_bytes(), NOW).unwrap();
        assert_eq!(identity.member.as_deref(), Some(&*format!("key {}", key.id)));
        assert_eq!((identity.source, &*identity.customer), (Source::Key, "key abc"));
    }
}
