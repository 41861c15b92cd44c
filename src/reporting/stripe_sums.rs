//! What Stripe's meters hold, by the name of their events.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::domain::period::Period;
use crate::store::Account;
use crate::stripe::{CallError, Meter, Transport, list_meters, summed_units};

#[derive(Debug, thiserror::Error)]
pub enum SumError {
    #[error("Stripe has no meter for the event name {0}; create one, or correct stripe_event_name")]
    NoMeter(String),
    #[error(
        "Stripe's meter for {event_name} aggregates by {formula}: only sums can be compared with the ledger"
    )]
    NotASum { event_name: String, formula: String },
    #[error(transparent)]
    Stripe(#[from] CallError),
}

/// Reads sums, and remembers the meters.
pub(super) struct StripeSums {
    transport: Arc<Transport>,
    meters: Mutex<Vec<Meter>>,
}

impl StripeSums {
    pub fn new(transport: Arc<Transport>) -> Self {
        Self { transport, meters: Mutex::default() }
    }

    /// The units that Stripe holds of an account within whole minutes. A meter that was replaced by another still
    /// holds what it counted.
    pub async fn units(&self, account: &Account, span: Period) -> Result<i64, SumError> {
        let mut units = 0_i64;
        for meter in self.meters_of(&account.event_name).await? {
            let bounds = (span.start, span.end);
            units += summed_units(&self.transport, &meter, &account.stripe_customer, bounds).await?;
        }
        Ok(units)
    }

    async fn meters_of(&self, event_name: &str) -> Result<Vec<String>, SumError> {
        let mut meters = self.meters.lock().await;
        let is_ours = |meter: &&Meter| meter.event_name == event_name;
        if !meters.iter().any(|meter| is_ours(&meter)) {
            *meters = list_meters(&self.transport).await?;
        }
        let ours: Vec<&Meter> = meters.iter().filter(is_ours).collect();
        if let Some(other) = ours.iter().find(|meter| meter.formula != "sum") {
            let formula = other.formula.clone();
            return Err(SumError::NotASum { event_name: event_name.to_owned(), formula });
        }
        if ours.is_empty() {
            return Err(SumError::NoMeter(event_name.to_owned()));
        }
        Ok(ours.iter().map(|meter| meter.id.clone()).collect())
    }
}
