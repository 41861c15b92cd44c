//! Telling others: each notice is delivered to every target that wants it.
//!
//! # What it promises
//!
//! - A notice is written once for its cause; from then on each target gets it until it takes it, or until the tries are
//!   used up. It may get it more than once, always with the same id and body.
//! - Messages are signed with the target's secret, as Stripe signs its own. No redirect is followed.
//! - A target that is slow or dead holds up no other.
//! - Nothing here is on the path of a proxied request.

mod courier;
mod limits;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc, watch};

use crate::clock;
use crate::customers::{Customers, Reached};
use crate::domain::catalogue::Catalogue;
use crate::domain::notice::NoticeKind;
use crate::live::Live;
use crate::metrics::METRICS;
use crate::store::{Store, Subscriber};
use crate::stripe::Secret;

use super::daily::Daily;
use super::fleet::Facts;
use courier::Courier;

/// New notices and due deliveries are looked for this often.
const LOOK: Duration = Duration::from_secs(1);

/// One that is told what happens to customers.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    /// https, or http to loopback.
    pub url: String,
    pub secret: Secret,
    /// The types of notices that it wants; `None`: all.
    pub types: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub struct NoticesOptions {
    pub targets: Vec<Target>,
    /// What the ids of messages begin with: other gateways have other ones.
    pub id_prefix: String,
    /// How long the log of deliveries is kept, in seconds.
    pub kept_seconds: i64,
}

/// Tells others.
pub struct Notices {
    store: Arc<Store>,
    catalogue: Arc<Live<Catalogue>>,
    subscribers: Arc<[Subscriber]>,
    couriers: Vec<Courier>,
    daily: Daily,
    /// Notices have been spread.
    spread: Notify,
    /// `None`: this node is the only one.
    facts: Option<Arc<Facts>>,
}

impl Notices {
    /// # Errors
    /// A system without usable TLS roots.
    pub fn new(
        store: Arc<Store>,
        customers: Arc<Customers>,
        catalogue: Arc<Live<Catalogue>>,
        options: NoticesOptions,
    ) -> Result<Self, reqwest::Error> {
        let subscriber =
            |target: &Target| Subscriber { name: target.name.clone(), types: target.types.clone() };
        let subscribers = options.targets.iter().map(subscriber).collect();
        let courier = |target| Courier::new(target, options.id_prefix.clone());
        let couriers = options.targets.into_iter().map(courier).collect::<Result<_, _>>()?;
        for kind in NoticeKind::ALL {
            courier::preset_metrics(kind.as_str());
        }
        let daily = Daily::new(store.clone(), customers, catalogue.clone(), options.kept_seconds);
        Ok(Self { store, catalogue, subscribers, couriers, daily, spread: Notify::new(), facts: None })
    }

    /// The same on one of several nodes: what more of them know of is told by one.
    #[must_use]
    pub fn with_fleet(self, facts: Option<Arc<Facts>>) -> Self {
        Self { facts, ..self }
    }

    /// The names of those who are told.
    pub fn targets(&self) -> Arc<[String]> {
        self.subscribers.iter().map(|subscriber| subscriber.name.clone()).collect()
    }

    /// Works until told to stop. `reached` brings limits that customers have reached.
    pub async fn run(&self, reached: mpsc::UnboundedReceiver<Reached>, mut stop: watch::Receiver<bool>) {
        let deliver = join_all(self.couriers.iter().map(|courier| courier.run(&self.store, &self.spread)));
        let limits = limits::run(&self.store, &self.catalogue, reached);
        let work = async { tokio::join!(self.spread_new(), deliver, limits, self.daily.run()) };
        tokio::select! {
            _ = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Makes deliveries of new notices, as soon as they are seen.
    async fn spread_new(&self) {
        match self.store.give_up_other_targets(&self.targets(), clock::now().seconds()).await {
            Ok(0) => {}
            Ok(given_up) => {
                tracing::warn!(given_up, "messages waited for targets that are configured no more");
            }
            Err(error) => tracing::error!(%error, "messages for other targets could not be given up"),
        }
        loop {
            let subscribers = self.subscribers.clone();
            let spread = match &self.facts {
                Some(facts) => facts.spread(subscribers).await,
                None => self.store.spread_notices(subscribers, clock::now().seconds()).await,
            };
            match spread {
                Ok(0) => tokio::time::sleep(LOOK).await,
                Ok(_) => self.spread.notify_waiters(),
                Err(error) => {
                    tracing::error!(%error, "notices could not be spread; it is tried again");
                    tokio::time::sleep(LOOK).await;
                }
            }
            // A gauge that is a moment behind does no harm.
            if let Ok(pending) = self.store.pending_deliveries().await {
                METRICS.notices_pending.set(pending);
            }
        }
    }
}
