//! Grants of credits that have expired are closed: booked out of the history, once nothing that spent them can come.
//!
//! A request may spend what was there when it was admitted, for [`HELD_SECONDS`] at most. Its record is on disk a
//! moment later, and counts once it has been folded.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::domain::credits::HELD_SECONDS;
use crate::ledger::Ledger;
use crate::metrics::METRICS;
use crate::store::{Store, StoreError};

const EVERY: Duration = Duration::from_mins(1);
/// A record is on disk within this after it was settled.
const SYNCED_WITHIN_SECONDS: i64 = 30;

/// For as long as the process lives. All that is on disk has been folded when it begins.
pub async fn close_expired(store: Arc<Store>, ledger: Arc<Ledger>) {
    let synced = ledger.synced();
    // Records below this number were on disk a round ago.
    let mut reached = synced.borrow().next_record;
    let mut ended_before = clock::now().seconds() - HELD_SECONDS - SYNCED_WITHIN_SECONDS;
    loop {
        match close(&store, ended_before, reached).await {
            Ok(0) => {}
            Ok(units) => tracing::info!(units, "credits expired"),
            Err(error) => tracing::warn!(%error, "expired credits could not be closed; it is tried again"),
        }
        ended_before = clock::now().seconds() - HELD_SECONDS - SYNCED_WITHIN_SECONDS;
        reached = synced.borrow().next_record;
        tokio::time::sleep(EVERY).await;
    }
}

async fn close(store: &Store, ended_before: i64, reached: u64) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        let (units, more) = store.expire_credits(ended_before, reached, clock::now().seconds()).await?;
        METRICS.credits.with_label_values(&["expired"]).inc_by(units);
        all += units;
        if !more {
            return Ok(all);
        }
    }
}
