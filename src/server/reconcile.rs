//! What compares ledger and Stripe, for the command and for the operator's port.

use std::path::Path;
use std::sync::Arc;

use crate::api::Others;
use crate::config::Config;
use crate::ledger::LedgerId;
use crate::reporting::{ReconcileOptions, Reconciler};
use crate::store::Store;
use crate::stripe::Transport;

use super::build::State;
use super::lock::Lock;
use super::{ServerError, build, settings};

/// A reconciler for a command beside the gateway, or without one. `on_silence` is called once when Stripe does not
/// answer.
pub fn reconciler(config: &Config, on_silence: fn()) -> Result<Reconciler, ServerError> {
    let data_dir = &config.server.data_dir;
    if !data_dir.join("tollgate.db").exists() {
        return Err(ServerError::Empty(data_dir.clone()));
    }
    let store = Arc::new(Store::open(data_dir)?);
    let ledger_id = build::ledger_id(&store)?;
    let transport = Arc::new(Transport::new(settings::transport(config))?);
    Ok(Reconciler::new(store, transport, options(config, ledger_id, on_silence)))
}

pub(super) fn build_reconciler(
    config: &Config,
    state: &State,
    transport: &Arc<Transport>,
    others: &Others,
) -> Reconciler {
    // In a gateway the transport's circuit breaker tells of a Stripe that does not answer.
    let reconciler =
        Reconciler::new(state.store.clone(), transport.clone(), options(config, state.ledger_id, || ()));
    if others.fleet().is_some() { reconciler.with_others(Arc::new(others.clone())) } else { reconciler }
}

fn options(config: &Config, ledger_id: LedgerId, on_silence: fn()) -> ReconcileOptions {
    let meters = config.catalogue.meters.iter();
    ReconcileOptions {
        identifier_prefix: format!("tg-{ledger_id}"),
        meters: meters.map(|m| (m.name.to_string(), m.stripe_event_name.to_string())).collect(),
        settle: config.billing.reconcile_settle,
        retention: config.ledger.retention,
        on_silence,
    }
}

/// Keeps a gateway from starting on a `data_dir`; none while one runs there.
pub fn hold(data_dir: &Path) -> Result<Option<Hold>, ServerError> {
    match Lock::take(data_dir) {
        Ok(lock) => Ok(Some(Hold { _lock: lock })),
        Err(ServerError::Locked(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// No gateway runs as long as this is kept.
pub struct Hold {
    _lock: Lock,
}
