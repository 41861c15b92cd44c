//! Stripe customers of whom nothing is known yet: their subscriptions are listed once, in the background.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc};

use crate::clock;
use crate::stripe::{Backoff, random};

use super::apply::Applier;

/// Lists in flight at once.
const CONCURRENCY: usize = 8;

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
            list(&applier, &stripe_customer, &permits).await;
            lock(&under_way).remove(&stripe_customer);
        });
    }
}

/// Until it is known: a customer who pays must not stay on the default tier because Stripe was away.
async fn list(applier: &Applier, stripe_customer: &str, permits: &Semaphore) {
    for tries in 0.. {
        let permit = permits.acquire().await;
        let listed = applier.list(stripe_customer, clock::now()).await;
        drop(permit);
        let Err(error) = listed else { return };
        tracing::warn!(%error, stripe_customer, "subscriptions could not be listed yet");
        tokio::time::sleep(Backoff::DURABLE.pause(tries, random())).await;
    }
}

fn lock<T>(set: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
