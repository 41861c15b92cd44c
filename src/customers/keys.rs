//! The API keys of customers: those that the store has are in force.

use std::sync::Arc;

use crate::auth::Scopes;
use crate::auth::keys::{KeyDigest, KeyId, KeyRecord, KeyTable};
use crate::domain::usage::Now;
use crate::store::{ApiKeyRow, StoreError};

use super::Customers;

/// Customers whose names are read together when the gateway starts.
const PAGE: u32 = 1_000;

impl Customers {
    /// Keeps a table of keys as the store has them, whether they are accepted or not.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<KeyTable>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Puts all keys into force, before anybody changes one.
    pub async fn load_keys(&self, now: Now) -> Result<(), StoreError> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let mut after = String::new();
        loop {
            let page = self.store.customers_with_api_keys(after.clone(), PAGE).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(()) };
            after.clone_from(last);
            let between = (first.clone(), last.clone());
            let rows = self.store.api_keys_in_force_between(between, now.seconds()).await?;
            for of_one in rows.chunk_by(|one, next| one.customer == next.customer) {
                keys.set(&of_one[0].customer, of_one.iter().cloned().filter_map(record).collect());
            }
        }
    }

    /// Puts into force what the store now has of a customer's keys, and nothing else.
    pub async fn refresh_keys(&self, name: &str, now: Now) -> Result<(), StoreError> {
        let _one_at_a_time = self.stripe(name).lock().await;
        self.set_keys(name, now).await
    }

    /// The stripe is held: no refresh that began before ends behind this one.
    pub(super) async fn set_keys(&self, name: &str, now: Now) -> Result<(), StoreError> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let rows = self.store.api_keys_in_force(name.to_owned(), now.seconds()).await?;
        keys.set(name, rows.into_iter().filter_map(record).collect());
        Ok(())
    }

    /// Writes down when keys were last used.
    pub async fn note_key_uses(&self) -> Result<(), StoreError> {
        let uses = self.keys.as_ref().map(|keys| keys.take_uses()).unwrap_or_default();
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.into_iter().map(|(id, at)| (id.to_string(), at)).collect();
        self.store.note_api_key_uses(uses).await
    }
}

/// None where a later version of the program has told of it, and called it otherwise.
fn record(row: ApiKeyRow) -> Option<KeyRecord> {
    Some(KeyRecord {
        id: KeyId::parse(&row.id)?,
        digest: KeyDigest::from_bytes(row.key.digest),
        scopes: Scopes::new(row.key.scopes),
        expires_at: row.key.expires_at,
    })
}
