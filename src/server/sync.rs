//! What reads everything again from Stripe, for the command where no gateway runs.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::billing::{Billing, Sync};
use crate::config::Config;
use crate::customers::Customers;
use crate::live::Live;
use crate::store::{NameKind, Store};
use crate::stripe::Transport;

use super::reconcile::{Hold, hold};
use super::{ServerError, settings};

/// None while a gateway runs on the `data_dir`: its versions of what was read are its own, and it must do it itself.
pub fn syncer(config: &Config) -> Result<Option<(Arc<Sync>, Hold)>, ServerError> {
    let data_dir = &config.server.data_dir;
    if !data_dir.join("tollgate.db").exists() {
        return Err(ServerError::Empty(data_dir.clone()));
    }
    let Some(hold) = hold(data_dir)? else { return Ok(None) };
    let store = Arc::new(Store::open(data_dir)?);
    let transport = Arc::new(Transport::new(settings::transport(config))?);
    let meters = config.catalogue.meters.by_number().iter().map(|meter| meter.name.to_string());
    let meters = store.number_names(NameKind::Meter, meters.collect())?;
    let (catalogue, keys) = (Arc::new(Live::new(config.catalogue.clone())), config.billing.idempotency);
    // Nobody is waited for here: who is unknown is listed by the next gateway.
    let (ask, _) = mpsc::unbounded_channel();
    let customers = Customers::new(config.catalogue.clone(), store.clone(), meters, keys, ask);
    let signals = (Arc::<Notify>::default(), Arc::<Notify>::default());
    // Events that it finds are for the gateway to apply, and to hand on.
    let handling = settings::handling(config, None)?;
    let billing = Billing::new(store, Arc::new(customers), catalogue, transport, signals, handling)?;
    Ok(Some((billing.sync(), hold)))
}
