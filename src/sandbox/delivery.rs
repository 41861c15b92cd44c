//! Sends events to webhook endpoints in the background, again and again until one answers 2xx.
//!
//! Every try carries a fresh signature over the same bytes. A try that fails is repeated after a pause
//! that doubles, at most [`TRIES`] times in all; then the event is given up and stays in the list of
//! events. Deliveries are independent of each other, so they may arrive in any order, as Stripe's do.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::events::Delivery;
use super::webhooks;

const TRIES: u32 = 9;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 32;

/// Delivers what comes out of the channel until its other end is gone.
pub async fn run(mut deliveries: mpsc::UnboundedReceiver<Delivery>, client: reqwest::Client) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    while let Some(delivery) = deliveries.recv().await {
        running.spawn(deliver(delivery, client.clone(), slots.clone()));
        while running.try_join_next().is_some() {}
    }
}

async fn deliver(delivery: Delivery, client: reqwest::Client, slots: Arc<Semaphore>) {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        if attempt > 1 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let Ok(slot) = slots.acquire().await else {
            return;
        };
        if accepted(&delivery, &client).await {
            return;
        }
        drop(slot);
    }
    tracing::warn!(
        event = delivery.event,
        url = delivery.url,
        tries = TRIES,
        "the sandbox gave up delivering an event"
    );
}

async fn accepted(delivery: &Delivery, client: &reqwest::Client) -> bool {
    let signature = webhooks::signature(&delivery.secret, unix_now(), &delivery.body);
    let request = client
        .post(&delivery.url)
        .header("content-type", "application/json; charset=utf-8")
        .header("stripe-signature", signature)
        .header("user-agent", "Stripe/1.0 (sandbox)")
        .body(delivery.body.clone());
    request.send().await.is_ok_and(|answer| answer.status().is_success())
}

/// The client for deliveries: no redirects, since Stripe follows none either.
pub fn client() -> reqwest::Result<reqwest::Client> {
    // A second installation is refused and harmless: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy().build()
}

/// Unix seconds.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// An instant in UTC, as the second API writes it.
pub fn rfc3339(at: i64) -> String {
    jiff::Timestamp::from_second(at).unwrap_or_default().to_string()
}
