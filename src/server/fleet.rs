//! This node as one of several: what it tells the others, what it hears of them, how it comes and goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::api::{AdminState, Others, answer_others};
use crate::auth::keys::KeyTable;
use crate::billing::Links;
use crate::billing::fleet::{Facts, Meeting};
use crate::clock;
use crate::config::{self, Config, OnRedisLoss};
use crate::customers::fleet::{Leases, Options as LeaseOptions};
use crate::customers::{Customers, Reached};
use crate::domain::catalogue::Catalogue;
use crate::fleet::{Address, Fleet, Generation, JoinError, Layout, LinkState, Options, Words};
use crate::metrics::METRICS;
use crate::reporting::{CopierOptions, LostMachines};
use crate::store::Store;

use super::ServerError;
use super::build::State;

/// What a node puts back before its port opens, at most: it does so beside its requests else.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
/// At the end, for what is given back and said.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
/// Where the store keeps what was seen of Redis, and how often: behind that, a process that was killed finds out less.
const LIVES: &str = "fleet_lives";
const KEPT_EVERY: Duration = Duration::from_secs(5);
/// Between two tries to tell what has changed while Redis was away, and so many are made.
const RETRY: Duration = Duration::from_millis(100);
const TELLS: u32 = 20;

/// This node among others.
#[derive(Clone)]
pub(super) struct Member {
    pub fleet: Arc<Fleet>,
    pub leases: Arc<Leases>,
    store: Arc<Store>,
    publish_interval: Duration,
    take_over_after: Duration,
    /// Whether it may serve where Redis cannot be asked.
    pub degrades: bool,
}

impl Member {
    /// Takes this node's place in the fleet. `None`: there is no fleet.
    pub fn join(config: &Config, state: &State, runtime: &Runtime) -> Result<Option<Self>, ServerError> {
        let Some(written) = &config.fleet else { return Ok(None) };
        let options = Options {
            address: address(&written.redis, written.redis_ca.as_deref()),
            timeout: written.redis_timeout,
            publish_interval: written.publish_interval,
            take_over_after: written.take_over_after,
            node: written.node.clone(),
            ledger: state.ledger_id.to_string(),
        };
        let fleet = Fleet::new(&options).map_err(|error| ServerError::Redis(error.to_string()))?;
        if let Some(lives) = runtime.block_on(state.store.mark(LIVES))? {
            fleet.remember(lives);
        }
        let fleet = Arc::new(fleet);
        match runtime.block_on(fleet.join()) {
            Ok(()) => {}
            Err(JoinError::Away(_)) => {
                tracing::warn!(
                    node = written.node,
                    "Redis does not answer: this node starts without its fleet"
                );
            }
            Err(error) => return Err(error.into()),
        }
        let degrades = written.on_redis_loss == OnRedisLoss::Degrade;
        let leases = LeaseOptions { lease_wait: written.lease_wait, degrades };
        let leases = Leases::new(fleet.clone(), Arc::new(words(&config.catalogue)), leases);
        Ok(Some(Self {
            fleet,
            leases,
            store: state.store.clone(),
            publish_interval: written.publish_interval,
            take_over_after: written.take_over_after,
            degrades,
        }))
    }

    /// Starts what goes on beside the requests. Whoever listens hears why this node must stop, if it must.
    pub fn spawn(
        &self,
        customers: &Arc<Customers>,
        facts: Option<Arc<Facts>>,
        runtime: &Runtime,
    ) -> mpsc::Receiver<JoinError> {
        let (must_stop, stops) = mpsc::channel(1);
        if let Some(facts) = facts {
            self.leases.set_learner(facts.clone());
            runtime.spawn(facts.run());
        }
        let fleet = self.fleet.clone();
        runtime.spawn(async move {
            let why = fleet.run().await;
            tracing::error!(%why, "this node must leave its fleet");
            // Nobody listens any more where it is stopping anyhow.
            let _ = must_stop.send(why).await;
        });
        runtime.spawn(self.leases.clone().run());
        runtime.spawn(self.clone().tell());
        runtime.spawn(give_back(self.fleet.clone(), customers.clone()));
        runtime.spawn(self.clone().put_back(customers.clone()));
        stops
    }

    /// Waits for what must be known before the first request: that nothing is lent to others which this node has used.
    pub fn settle(&self, runtime: &Runtime) {
        if self.fleet.members().is_empty() {
            return;
        }
        let mut states = self.fleet.states();
        let settled = async {
            // It lasts as long as the fleet.
            let _ = states.wait_for(|state| *state == LinkState::Here).await;
            // A Redis that was empty lends nothing for so long.
            sleep(self.publish_interval * 2).await;
        };
        if runtime.block_on(async { timeout(SETTLES_WITHIN, settled).await }).is_err() {
            tracing::warn!("the fleet does not know all of this node yet");
        }
    }

    /// Gives everything back; when no request is left.
    pub fn give_all_back(&self, runtime: &Runtime) {
        let given = async { timeout(LEAVES_WITHIN, self.leases.return_all(clock::now())).await };
        if !runtime.block_on(given).unwrap_or(false) {
            tracing::warn!(
                "what was lent could not be given back: it counts as used until this node is back"
            );
        }
    }

    /// Behind the last call.
    pub fn leave(&self, runtime: &Runtime) {
        let left = async { timeout(LEAVES_WITHIN, self.fleet.leave()).await };
        if !matches!(runtime.block_on(left), Ok(Ok(()))) {
            tracing::warn!("the fleet was not told that this node has left: it finds out in seconds");
        }
        runtime.block_on(self.keep_lives());
    }

    /// For the next process on this ledger.
    async fn keep_lives(&self) {
        if let Err(error) = self.store.set_mark(LIVES, Some(&self.fleet.lives())).await {
            tracing::warn!(%error, "what was seen of Redis is not kept: a loss over a restart may not be found out");
        }
    }

    /// Tells what has changed, for ever.
    async fn tell(self) {
        let (mut told, mut kept) = (Instant::now(), Instant::now());
        loop {
            sleep(self.publish_interval).await;
            if kept.elapsed() >= KEPT_EVERY {
                self.keep_lives().await;
                kept = Instant::now();
            }
            let begun = Instant::now();
            let is_linked = matches!(*self.fleet.states().borrow(), LinkState::Here | LinkState::Rejoining);
            if is_linked && self.leases.tick(self.fleet.is_deaf(), clock::now()).await {
                told = begun;
            }
            let lag = told.elapsed().saturating_sub(self.publish_interval * 2);
            METRICS.fleet_lag_seconds.set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// Puts back what Redis has lost, and tells what has changed while it was away; for ever.
    async fn put_back(self, customers: Arc<Customers>) {
        loop {
            tokio::select! {
                lost = self.fleet.next_loss() => self.put_back_all(lost, &customers).await,
                back = self.fleet.next_rejoin() => {
                    if let Some(lost) = self.fleet.next_loss().now_or_never() {
                        self.put_back_all(lost, &customers).await;
                    }
                    self.tell_all().await;
                    self.fleet.rejoined(back);
                }
            }
        }
    }

    /// Tells what has changed. What is not heard for long, as where one server of a Cluster is away, the ticks go on
    /// telling: the node is back without it.
    async fn tell_all(&self) {
        for _ in 0..TELLS {
            let is_away = *self.fleet.states().borrow() == LinkState::Away;
            if is_away || self.leases.tick(false, clock::now()).await {
                return;
            }
            sleep(RETRY).await;
        }
    }

    /// What cannot be put back now is owed: the heart asks for it again once its bucket answers.
    async fn put_back_all(&self, first: Generation, customers: &Customers) {
        let mut lost = vec![first];
        while let Some(more) = self.fleet.next_loss().now_or_never() {
            lost.push(more);
        }
        let buckets: BTreeSet<_> = lost.iter().map(|generation| generation.bucket).collect();
        let begun = Instant::now();
        let unheard = customers.put_back(&buckets, clock::now()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what Redis has lost is not put back yet");
            buckets
        });
        let (owed, back): (Vec<_>, Vec<_>) =
            lost.iter().partition(|generation| unheard.contains(&generation.bucket));
        for generation in &owed {
            self.fleet.owe(generation.bucket);
        }
        // Lost again or away: it is asked for again.
        let _ = join_all(back.iter().map(|generation| self.fleet.put_back(generation))).await;
        tracing::info!(
            buckets = back.len(),
            owed = owed.len(),
            millis = begun.elapsed().as_millis(),
            "put_back"
        );
    }
}

/// Links to the usage page: in a fleet any node opens what another has made.
pub(super) fn links(config: &Config, state: &State, member: Option<&Member>) -> Links {
    let fleet = member.map(|member| member.fleet.clone());
    Links::new(state.store.clone(), fleet, super::settings::links(config))
}

/// Who is asked for lists of the whole fleet.
pub(super) fn others(member: Option<&Member>) -> Others {
    Others::new(member.map(|member| member.fleet.clone()))
}

/// Answers the others when they make such lists.
pub(super) fn answer(member: Option<&Member>, state: &AdminState, runtime: &Runtime) {
    if let Some(member) = member {
        runtime.spawn(answer_others(state.clone(), member.fleet.clone()));
    }
}

/// Answers recalls, for ever.
async fn give_back(fleet: Arc<Fleet>, customers: Arc<Customers>) {
    loop {
        let name = fleet.next_recall().await;
        if let Err(error) = customers.recalled(&name, clock::now()).await {
            tracing::warn!(%error, "what another node is short of could not be given back");
        }
    }
}

/// Copies what this node has not sent to Stripe, and takes over what lost nodes have not.
pub(super) fn lost_machines(config: &Config, state: &State, member: Option<&Member>) -> Option<LostMachines> {
    let member = member?;
    let meters = config.catalogue.meters.by_number().iter().zip(&state.numbers.meters);
    let options = CopierOptions {
        identifier_prefix: format!("tg-{}", state.ledger_id),
        event_names: meters.map(|(meter, number)| (*number, meter.stripe_event_name.to_string())).collect(),
        take_over_after: member.take_over_after,
    };
    Some(LostMachines::new(state.store.clone(), member.fleet.clone(), options))
}

/// Where what is known of customers is told.
pub(super) type Meets = Option<Arc<dyn Meeting>>;

pub(super) fn meeting(member: Option<&Member>) -> Meets {
    member.map(|member| member.fleet.clone() as Arc<dyn Meeting>)
}

/// All customers. `told`: who hears of those that Stripe must be asked about, and of limits that are reached.
pub(super) fn customers(
    config: &Config,
    state: &State,
    member: Option<&Member>,
    keys: Arc<KeyTable>,
    told: (mpsc::UnboundedSender<String>, mpsc::UnboundedSender<Reached>),
) -> Arc<Customers> {
    let (store, meters) = (state.store.clone(), state.numbers.meters.clone());
    let customers =
        Customers::new(config.catalogue.clone(), store, meters, config.billing.idempotency, told.0);
    let customers = customers.with_keys(keys).telling(told.1);
    Arc::new(match member {
        Some(member) => customers.with_fleet(member.leases.clone()),
        None => customers,
    })
}

/// Returns once the node must stop; never without a fleet.
pub(super) async fn must_stop(stops: Option<&mut mpsc::Receiver<JoinError>>) -> JoinError {
    match stops {
        Some(stops) => match stops.recv().await {
            Some(why) => why,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

pub(super) fn words(catalogue: &Catalogue) -> Words {
    let meters = catalogue.meters.by_number().iter().map(|meter| &*meter.name);
    Words::new(meters, catalogue.routes.by_number().iter().map(|route| (&*route.pattern, &route.methods)))
}

/// Where the fleet's Redis is.
pub fn redis_address(fleet: &config::Fleet) -> Address {
    address(&fleet.redis, fleet.redis_ca.as_deref())
}

fn address(redis: &config::Redis, authorities: Option<&str>) -> Address {
    Address {
        layout: match &redis.layout {
            config::Layout::Single => Layout::Single,
            config::Layout::Cluster => Layout::Cluster,
            config::Layout::Sentinel { master } => Layout::Sentinel { master: master.clone() },
        },
        tls: redis.tls,
        servers: redis.servers.clone(),
        user: redis.user.clone(),
        password: redis.password.as_ref().map(|password| password.expose().to_owned()),
        database: redis.database,
        authorities: authorities.map(|pem| pem.as_bytes().to_vec()),
    }
}
