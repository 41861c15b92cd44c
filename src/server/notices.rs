//! From the configuration to those who are told what happens.

use std::sync::Arc;

use crate::billing::{Notices, NoticesOptions, Target};
use crate::config::{self, Config, WebhookMode};
use crate::customers::Customers;
use crate::store::{Store, StoreError};
use crate::stripe::Secret;

use super::ServerError;
use super::build::State;

/// The store tells who has few credits left.
pub(super) fn set_credits_low(store: &Store, config: &Config) -> Result<(), StoreError> {
    let catalogue = &config.catalogue;
    let default_tier = catalogue.default_tier.map(|id| &*catalogue.tier(id).name);
    store.set_credits_low(config.selling.credits_low, default_tier)
}

pub(super) fn build(
    config: &Config,
    state: &State,
    customers: Arc<Customers>,
) -> Result<Notices, ServerError> {
    set_credits_low(&state.store, config)?;
    // In the shadow of another handler nobody is told: that one does it.
    let in_shadow = config.selling.webhook_mode == WebhookMode::Shadow;
    let told = config.targets.iter().filter(|_| !in_shadow);
    let target = |target: &config::Target| Target {
        name: target.name.clone(),
        url: target.url.clone(),
        secret: Secret::new(target.secret.expose()),
        types: target.types.clone(),
    };
    let options = NoticesOptions {
        targets: told.map(target).collect(),
        id_prefix: format!("tg-{}", state.ledger_id),
        kept_seconds: config.retention.logs,
    };
    Notices::new(state.store.clone(), customers, state.catalogue.clone(), options)
        .map_err(|error| ServerError::Io(std::io::Error::other(error)))
}
