//! Stripe customers of whom nothing is known yet: their subscriptions are listed once, in the background.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::clock;

use super::apply::Applier;

/// Lists in flight at once.
const CONCURRENCY: usize = 8;
/// Between tries while Stripe is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const TRIES: u32 = 15;

/// Lists the customers that arrive, each once at a time. Ends with the sender.
pub(super) async fn run(applier: Arc<Applier>, mut unknown: mpsc::UnboundedReceiver<String>) {
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let under_way: Arc<Mutex<HashSet<String>>> = Arc::default();
    while let Some(stripe_customer) = unknown.recv().await {
        if !lock(&under_way).insert(stripe_customer.clone()) {
            continue;
        }
        let (applier, permits, under_way) = (applier.clone(), permits.clone(), under_way.clone());
        tokio::spawn(async move {
            let _permit = permits.acquire_owned().await;
            list(&applier, &stripe_customer).await;
            lock(&under_way).remove(&stripe_customer);
        });
    }
}

async fn list(applier: &Applier, stripe_customer: &str) {
    for _ in 0..TRIES {
        match applier.list(stripe_customer, clock::now()).await {
            Ok(()) => return,
            Err(error) if error.is_passing() => tokio::time::sleep(RETRY_AFTER).await,
            Err(error) => {
                tracing::error!(%error, stripe_customer, "subscriptions could not be listed");
                return;
            }
        }
    }
    tracing::warn!(
        stripe_customer,
        "Stripe is away: the customer is asked about again when it is next loaded"
    );
}

fn lock<T>(set: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
