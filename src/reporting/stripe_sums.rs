//! What Stripe's meters hold, by the name of their events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

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

/// Without an answer for so long, somebody who waits is told. The transport tries again for a minute.
const SILENCE: Duration = Duration::from_secs(8);

/// Reads sums, and remembers the meters.
pub(super) struct StripeSums {
    transport: Arc<Transport>,
    meters: Mutex<Vec<Meter>>,
    /// Called once, when Stripe does not answer.
    on_silence: fn(),
    was_silent: AtomicBool,
}

impl StripeSums {
    pub fn new(transport: Arc<Transport>) -> Self {
        Self { transport, meters: Mutex::default(), on_silence: || (), was_silent: AtomicBool::new(false) }
    }

    pub fn telling(self, on_silence: fn()) -> Self {
        Self { on_silence, ..self }
    }

    /// The units that Stripe holds of an account within whole minutes. A meter that was replaced by another still
    /// holds what it counted.
    pub async fn units(&self, account: &Account, span: Period) -> Result<i64, SumError> {
        let mut units = 0_i64;
        for meter in self.meters_of(&account.event_name).await? {
            let bounds = (span.start, span.end);
            let sum = summed_units(&self.transport, &meter, &account.stripe_customer, bounds);
            units += self.patiently(sum).await?;
        }
        Ok(units)
    }

    async fn patiently<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        if let Ok(answer) = timeout(SILENCE, &mut call).await {
            return answer;
        }
        if !self.was_silent.swap(true, Ordering::Relaxed) {
            (self.on_silence)();
        }
        call.await
    }

    async fn meters_of(&self, event_name: &str) -> Result<Vec<String>, SumError> {
        let mut meters = self.meters.lock().await;
        let is_ours = |meter: &&Meter| meter.event_name == event_name;
        if !meters.iter().any(|meter| is_ours(&meter)) {
            *meters = self.patiently(list_meters(&self.transport)).await?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::stripe::{Secret, TransportOptions};

    static TOLD: AtomicU32 = AtomicU32::new(0);

    #[tokio::test]
    async fn who_waits_for_a_stripe_that_does_not_answer_is_told_once() {
        let options = TransportOptions::new("http://localhost:1", Secret::new("sk_test_x"));
        let transport = Arc::new(Transport::new(options).expect("a transport"));
        let sums = StripeSums::new(transport).telling(|| {
            TOLD.fetch_add(1, Ordering::Relaxed);
        });
        tokio::time::pause();
        assert_eq!(sums.patiently(async { 7 }).await, 7);
        assert_eq!(TOLD.load(Ordering::Relaxed), 0, "it answered");
        for _ in 0..2 {
            let slow = async {
                tokio::time::sleep(SILENCE * 2).await;
                7
            };
            assert_eq!(sums.patiently(slow).await, 7, "the answer is waited for");
            assert_eq!(TOLD.load(Ordering::Relaxed), 1);
        }
    }
}
