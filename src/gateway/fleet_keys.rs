//! Idempotency keys in a fleet: what another node has charged is a repeat here.
//!
//! A key that is new to this node is asked for before the request is admitted, so that a repeat needs no units. Two nodes
//! may admit requests of one key at once: the first whose answer is charged says so to the fleet, and the other gives its
//! units back and is free, as on one node. Without Redis each node knows its own keys only.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::runtime::Handle;

use crate::customers::{Entry, Reservation};
use crate::domain::idempotency::{Digest, REMEMBERED_SECONDS};
use crate::domain::usage::{Charge, Now};
use crate::fleet::Fleet;

use super::Parts;

const KEPT: Duration = Duration::from_secs(REMEMBERED_SECONDS.unsigned_abs());

/// What the fleet may have been told of a charge that is not recorded yet. Dropping it takes that back.
pub(super) struct ToldCharge {
    fleet: Arc<Fleet>,
    customer: SmolStr,
    key: Digest,
    at: Now,
    stands: bool,
}

impl ToldCharge {
    /// The charge is recorded.
    pub fn stand(mut self) {
        self.stands = true;
    }
}

impl Drop for ToldCharge {
    fn drop(&mut self) {
        // Where no runtime is left the process ends.
        let (false, Ok(runtime)) = (self.stands, Handle::try_current()) else { return };
        let (fleet, customer, key, at) = (self.fleet.clone(), self.customer.clone(), self.key, self.at);
        runtime.spawn(async move {
            if fleet.uncharge_key(&customer, key, at.micros()).await.is_err() {
                tracing::warn!(%customer, "an idempotency key counts as charged in the fleet, and is not");
            }
        });
    }
}

impl Parts {
    /// Before a request with a key is admitted.
    pub(super) async fn hear_of_key(&self, fleet: &Fleet, entry: &Entry, key: Digest, now: Now) {
        if entry.is_first(key, now)
            && let Ok(Some(micros)) = fleet.charged_elsewhere(&entry.name, key).await
        {
            entry.note_charged(key, Now::from_micros(micros));
        }
    }

    /// Before a request with a key is charged. None where another node has charged it, or Redis does not answer.
    pub(super) async fn tell_key(
        &self,
        fleet: &Arc<Fleet>,
        reservation: &Reservation,
        key: Digest,
        at: Now,
    ) -> Option<ToldCharge> {
        let entry = reservation.entry();
        let (fleet, customer) = (fleet.clone(), entry.name.clone());
        let mut told = ToldCharge { fleet, customer, key, at, stands: false };
        let said = told.fleet.charge_key(&entry.name, key, at.micros(), KEPT).await;
        match said {
            Ok(None) => return Some(told),
            Ok(Some(micros)) => entry.note_charged(key, Now::from_micros(micros)),
            Err(_) => {}
        }
        told.stands = true;
        None
    }

    /// A recorded charge is taken back.
    pub(super) fn take_key_back(&self, entry: &Entry, charge: &Charge) {
        let (Some(fleet), Some(key)) = (&self.fleet, charge.key) else { return };
        let (customer, at) = (entry.name.clone(), charge.at);
        drop(ToldCharge { fleet: fleet.clone(), customer, key, at, stands: false });
    }
}
