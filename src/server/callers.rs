//! Who calls beside tokens: where API keys are accepted, who hands them out, and when they were last used; and when
//! anonymous callers are forgotten.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tokio::sync::watch;

use crate::api::KeyDesk;
use crate::auth::AcceptedKeys;
use crate::auth::keys::KeyTable;
use crate::clock;
use crate::config::Config;
use crate::customers::Customers;
use crate::domain::usage::Now;
use crate::store::Store;

use super::ServerError;
use super::reconcile::{Hold, hold};

/// How often the uses of keys are written down.
const NOTED_EVERY: Duration = Duration::from_mins(1);

/// `None`: keys are off.
pub(super) fn accepted(config: &Config, table: &Arc<KeyTable>) -> Option<AcceptedKeys> {
    Some(AcceptedKeys { header: header(config)?, table: table.clone() })
}

/// Where a key stands, beside `Authorization: Bearer`.
pub(super) fn header(config: &Config) -> Option<HeaderName> {
    let keys = config.callers.keys.as_ref()?;
    HeaderName::from_bytes(keys.header.as_bytes()).ok()
}

/// Who hands keys out.
pub(super) fn key_desk(config: &Config, store: Arc<Store>) -> KeyDesk {
    let prefix = config.callers.keys.as_ref().map(|keys| &*keys.prefix);
    KeyDesk::new(store, &config.catalogue.scopes, prefix)
}

/// The same for a command. None while a gateway runs on the `data_dir`: it must do it itself, so that what changes is
/// in force at once.
pub fn key_desk_here(config: &Config) -> Result<Option<(KeyDesk, Hold)>, ServerError> {
    check_there_is_a_store(config)?;
    let Some(hold) = hold(&config.server.data_dir)? else { return Ok(None) };
    let store = Arc::new(Store::open(&config.server.data_dir)?);
    Ok(Some((key_desk(config, store), hold)))
}

/// To read from, whether a gateway runs or not.
pub fn existing_store(config: &Config) -> Result<Store, ServerError> {
    check_there_is_a_store(config)?;
    Ok(Store::open(&config.server.data_dir)?)
}

fn check_there_is_a_store(config: &Config) -> Result<(), ServerError> {
    let data_dir = &config.server.data_dir;
    if data_dir.join("tollgate.db").exists() { Ok(()) } else { Err(ServerError::Empty(data_dir.clone())) }
}

/// Writes down when keys were last used, until the gateway stops.
pub(super) async fn note_uses(customers: Arc<Customers>, mut stopping: watch::Receiver<bool>) {
    loop {
        // An error means that the server is gone.
        let stops = tokio::time::timeout(NOTED_EVERY, stopping.wait_for(|stops| *stops)).await.is_ok();
        if let Err(error) = customers.note_key_uses().await {
            tracing::warn!(%error, "when API keys were last used is not written down");
        }
        if stops {
            return;
        }
    }
}

/// Forgets anonymous callers once nothing is left of what they used: neither in a period that counts, nor in records.
pub(super) async fn forget_anonymous(customers: &Customers, now: Now, records_kept: Duration) {
    let kept = u64::try_from(records_kept.as_nanos()).unwrap_or(u64::MAX);
    if let Err(error) = customers.forget_anonymous(Now(now.nanos().saturating_sub(kept))).await {
        tracing::warn!(%error, "anonymous callers of long ago are not forgotten yet");
    }
}

/// Puts the keys of the store into force, before anybody can show one.
pub(super) async fn load(customers: &Customers) -> Result<(), ServerError> {
    Ok(customers.load_keys(clock::now()).await?)
}
