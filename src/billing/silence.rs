//! Subscriptions of which nothing is heard: their paid period has ended, and Stripe could not be asked since.
//!
//! They keep their tier for `billing.silence_grace`, then their customers are on the default tier until Stripe
//! answers. Who is loaded then finds it so; here it is put into force for those in memory, and kept.

use std::time::Duration;

use crate::clock;
use crate::domain::period::rfc3339;
use crate::store::{Act, StoreError, Unheard};

use super::apply::Applier;

/// How often it is looked for those whose grace has ended.
const EVERY: Duration = Duration::from_secs(5);
/// Subscriptions that are looked at together.
const PAGE: u32 = 1_000;

/// Watches as long as it is polled.
pub(super) async fn watch(applier: &Applier) {
    let mut last = Unheard::default();
    loop {
        if let Err(error) = look(applier, &mut last).await {
            tracing::error!(%error, "silent subscriptions could not be looked for; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Those behind the last one that was looked at: each comes up once in a process, in the order of their ends.
async fn look(applier: &Applier, last: &mut Unheard) -> Result<(), StoreError> {
    loop {
        let until = clock::now().seconds().saturating_sub(applier.catalogue.now().silence_grace);
        let found = applier.store.unheard(last.clone(), until, PAGE).await?;
        if found.is_empty() {
            return Ok(());
        }
        for silent in found {
            fall(applier, &silent).await?;
            *last = silent;
        }
    }
}

async fn fall(applier: &Applier, silent: &Unheard) -> Result<(), StoreError> {
    if !applier.look_again(&silent.stripe_customer).await? {
        // It counted for nobody, or an earlier run has seen it.
        return Ok(());
    }
    let (paid_until, read_at) = (rfc3339(silent.paid_until), rfc3339(silent.read_at));
    let detail = format!("{}: paid for until {paid_until}, last heard of at {read_at}", silent.id);
    tracing::error!(detail, "nothing is heard of a subscription: it gives no tier until Stripe answers");
    let row = applier.store.customers_of(silent.stripe_customer.clone()).await?.into_iter().next();
    let act =
        Act { action: "subscription_silent", customer: row.map(|row| row.number), detail, ..Act::default() };
    applier.store.note(act, clock::now().seconds()).await
}
