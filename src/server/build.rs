//! From the configuration to rooms: each gets the part that it asks for, in its own words.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};

use crate::api::{BillingLimits, BillingSettings, Others, Public, WebhookLimits, WebhookSettings};
use crate::auth::{self, Authenticator};
use crate::billing::{self, Billing, ForwardTo, Handling, Notices, Outgoing, ShopSettings};
use crate::clock;
use crate::config::{self, Config};
use crate::customers::{Customers, Reached};
use crate::domain::catalogue::Catalogue;
use crate::gateway::RecordNumbers;
use crate::ledger::{Disk, Durability, Ledger, LedgerId, Lost, Options, Position, Resume};
use crate::metrics::METRICS;
use crate::problem::Code;
use crate::reporting::{Folded, Folder, LostMachines, Reconciler, Reporter, ReporterOptions};
use crate::seal::Sealer;
use crate::store::{LostRecords, NameKind, Store};
use crate::stripe::{Secret, Transport, TransportOptions};

use super::ServerError;
use super::fleet::{Meets, Member};

/// A segment is rolled at this size: small enough to hash and read whole.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What is on disk, opened and up to date.
pub(super) struct State {
    pub store: Arc<Store>,
    pub ledger: Arc<Ledger>,
    pub ledger_id: LedgerId,
    pub folder: Folder,
    pub numbers: RecordNumbers,
}

impl State {
    pub fn open(config: &Config) -> Result<Self, ServerError> {
        let data_dir = &config.server.data_dir;
        let store = Arc::new(Store::open(data_dir)?);
        let ledger_id = ledger_id(&store)?;
        let numbers = number_names(&store, config)?;
        let (segment, offset, next_record) = store.folded()?;
        let resume = Resume { folded: Position { segment, offset }, next_record };
        let disk = Disk::open(data_dir.join("ledger"))?;
        let options = Options {
            durability: match config.ledger.durability {
                config::Durability::Process => Durability::Process,
                config::Durability::Power => Durability::Power,
            },
            sync_interval: config.ledger.sync_interval,
            segment_bytes: SEGMENT_BYTES,
        };
        let ledger = open_ledger(disk, ledger_id, resume, &store, options)?;
        let names = config.catalogue.meters.iter().map(|meter| meter.name.to_string());
        let meters = numbers.meters.iter().copied().zip(names).collect();
        let mut folder = Folder::new(ledger.clone(), store.clone(), config.catalogue.report, resume, meters);
        folder.catch_up()?;
        let standing = store.let_estimates_stand()?;
        if standing > 0 {
            tracing::warn!(standing, "estimates were open when the last run ended: they stand as charges");
        }
        Ok(Self { store, ledger, ledger_id, folder, numbers })
    }
}

/// What the last loss of power took is kept in the store before anything more is folded.
fn open_ledger(
    disk: Disk,
    id: LedgerId,
    resume: Resume,
    store: &Store,
    options: Options,
) -> Result<Arc<Ledger>, ServerError> {
    let known: Vec<_> = store
        .lost()?
        .into_iter()
        .map(|LostRecords { from, to, segment, offset }| Lost { segment, offset, from, to })
        .collect();
    let now = clock::now();
    let (ledger, found) =
        Ledger::open_after_losses(Arc::new(disk), id, resume, &known, options, now.micros())?;
    if !found.is_empty() {
        let found = found.into_iter().map(|Lost { segment, offset, from, to }| LostRecords {
            from,
            to,
            segment,
            offset,
        });
        store.note_lost(found.collect(), now.seconds())?;
    }
    Ok(Arc::new(ledger))
}

/// The ledger's id, made with the first start.
pub(super) fn ledger_id(store: &Store) -> Result<LedgerId, ServerError> {
    let mut fresh = [0; 16];
    getrandom::fill(&mut fresh).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(LedgerId(store.ledger_id(fresh)?))
}

fn number_names(store: &Store, config: &Config) -> Result<RecordNumbers, ServerError> {
    let catalogue = &config.catalogue;
    let names = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>();
    let routes = names(&mut catalogue.routes.iter().map(|route| route.pattern.to_string()));
    let tiers = names(&mut catalogue.tiers.iter().map(|tier| tier.name.to_string()));
    let meters = names(&mut catalogue.meters.iter().map(|meter| meter.name.to_string()));
    let digest = Sha256::digest(format!("{catalogue:?}"));
    let configuration = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    store.note_configuration(configuration, clock::now().seconds())?;
    Ok(RecordNumbers {
        routes: store.number_names(NameKind::Route, routes)?,
        tiers: store.number_names(NameKind::Tier, tiers)?,
        meters: store.number_names(NameKind::Meter, meters)?,
        configuration,
    })
}

/// The runtime of everything that is not a proxied request.
pub(super) fn runtime() -> Result<Runtime, ServerError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).thread_name("work").enable_all().build()?)
}

/// The rooms above the adapters.
pub(super) struct Rooms {
    pub authenticator: Arc<Authenticator>,
    pub customers: Arc<Customers>,
    pub transport: Arc<Transport>,
    pub reporter: Arc<Reporter>,
    pub reconciler: Arc<Reconciler>,
    pub public: Public,
    pub ledger: Arc<Ledger>,
    pub ledger_id: LedgerId,
    pub folded: watch::Receiver<Folded>,
    pub billing: Billing,
    pub notices: Notices,
    unknown: mpsc::UnboundedReceiver<String>,
    moved: mpsc::UnboundedReceiver<u32>,
    reached: mpsc::UnboundedReceiver<Reached>,
    lost_machines: Option<LostMachines>,
}

impl Rooms {
    pub fn new(
        config: &Config,
        state: &State,
        member: Option<&Member>,
        runtime: &Runtime,
    ) -> Result<Self, ServerError> {
        preset_metrics(&config.catalogue);
        let catalogue = config.catalogue.clone();
        let keys = super::callers::accepted(config);
        let table = keys.as_ref().map(|keys| keys.table.clone());
        let authenticator = Authenticator::new(&auth_settings(config)?, keys, runtime.handle())?;
        let transport = Arc::new(Transport::new(transport_options(config))?);
        let (ask, unknown) = mpsc::unbounded_channel();
        let (tell_reached, reached) = mpsc::unbounded_channel();
        let customers = super::fleet::customers(config, state, member, table, (ask, tell_reached));
        runtime.block_on(super::callers::load(&customers))?;
        let folded = state.folder.folded();
        let (tell, moved) = mpsc::unbounded_channel();
        let lost_machines = super::fleet::lost_machines(config, state, member);
        let others = super::fleet::others(member);
        let lost = lost_machines.as_ref().map(|lost| (lost, &others));
        let reporter = Arc::new(reporter(config, state, &transport, tell, lost));
        let (arrived, handling) = (Arc::new(Notify::new()), handling(config, super::fleet::meeting(member))?);
        let webhook = webhook_settings(config, &handling);
        let billing = Billing::new(
            state.store.clone(),
            customers.clone(),
            catalogue.clone(),
            transport.clone(),
            (arrived.clone(), reporter.due()),
            handling,
        )?;
        let notices = super::notices::build(config, state, customers.clone())?.with_fleet(billing.facts());
        let reconciler = super::reconcile::build_reconciler(config, state, &transport, &others);
        let public = Public {
            catalogue,
            authenticator: authenticator.clone(),
            customers: customers.clone(),
            store: state.store.clone(),
            billing: Arc::new(billing_settings(config)),
            shop: Arc::new(billing.shop(shop_settings(config))),
            reporter: reporter.clone(),
            transport: transport.clone(),
            work: runtime.handle().clone(),
            webhook: Arc::new(webhook),
            arrived,
            others,
        };
        Ok(Self {
            authenticator,
            customers,
            transport,
            reporter,
            reconciler: Arc::new(reconciler),
            public,
            ledger: state.ledger.clone(),
            ledger_id: state.ledger_id,
            folded,
            billing,
            notices,
            unknown,
            moved,
            reached,
            lost_machines,
        })
    }
}

fn reporter(
    config: &Config,
    state: &State,
    transport: &Arc<Transport>,
    moved: mpsc::UnboundedSender<u32>,
    in_fleet: Option<(&LostMachines, &Others)>,
) -> Reporter {
    let reporter = Reporter::new(
        state.store.clone(),
        state.ledger.clone(),
        (state.folder.folded(), state.folder.hurry()),
        transport.clone(),
        reporter_options(config, state, moved),
    );
    match in_fleet {
        Some((lost, others)) => reporter.in_fleet(lost.copier(), Arc::new(others.clone())),
        None => reporter,
    }
}

/// Starts what works beside the requests.
pub(super) fn spawn_work(
    config: &Config,
    state: &State,
    rooms: Rooms,
    runtime: &Runtime,
    stopping: &watch::Receiver<bool>,
) {
    let Rooms {
        billing, notices, unknown, moved, reached, lost_machines, reporter, customers, folded, ..
    } = rooms;
    if let Some(lost) = lost_machines {
        runtime.block_on(lost.begin());
        runtime.spawn(lost.run(reporter.due(), stopping.clone()));
    }
    runtime.spawn(super::raise_moved(customers.clone(), moved));
    runtime.spawn(super::callers::note_uses(customers.clone(), stopping.clone()));
    runtime.spawn(billing.sync().keep_up(config.selling.sync_at));
    let stop = stopping.clone();
    runtime.spawn(async move { billing.run(unknown, stop).await });
    let stop = stopping.clone();
    runtime.spawn(async move { notices.run(reached, stop).await });
    let stop = stopping.clone();
    runtime.spawn(async move { reporter.run(stop).await });
    runtime.spawn(billing::close_expired(state.store.clone(), state.ledger.clone()));
    let (ledger, store) = (state.ledger.clone(), state.store.clone());
    runtime.spawn(super::keep_house(customers, ledger, store, folded, super::Kept::of(config)));
}

/// Binds with an error that names the address.
pub(super) fn listen(address: SocketAddr) -> Result<std::net::TcpListener, ServerError> {
    std::net::TcpListener::bind(address).map_err(|error| ServerError::Listen { address, error })
}

pub(super) fn auth_settings(config: &Config) -> Result<auth::Settings, ServerError> {
    let jwt = &config.auth;
    let algorithms = jwt.algorithms.iter().map(|algorithm| auth::parse_algorithm(algorithm.as_str()));
    let claim =
        |path: &str| path.parse().map_err(|_| ServerError::Io(std::io::Error::other("an empty claim path")));
    Ok(auth::Settings {
        algorithms: algorithms.collect::<Result<_, _>>()?,
        keys: match &jwt.key {
            config::KeySource::Secret(secret) => auth::KeySource::Secret(secret.expose().as_bytes().to_vec()),
            config::KeySource::PublicKey(pem) => auth::KeySource::PublicKeyPem(pem.as_bytes().to_vec()),
            config::KeySource::Jwks(url) => auth::KeySource::Jwks(url.clone()),
        },
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        leeway: jwt.leeway,
        customer_claim: claim(&jwt.customer_claim)?,
        member_claim: jwt.member_claim.as_deref().map(claim).transpose()?,
        stripe_customer_claim: jwt.stripe_customer_claim.as_deref().map(claim).transpose()?,
        scope_claim: config.callers.scope_claim.as_deref().map(claim).transpose()?,
        failures: Some(config.callers.failures),
        cache_ttl: jwt.cache_ttl,
        cache_capacity: jwt.cache_capacity,
        jwks_cooldown: jwt.jwks_cooldown,
        jwks_refresh: jwt.jwks_refresh,
    })
}

pub(super) fn transport_options(config: &Config) -> TransportOptions {
    let stripe = &config.stripe;
    let at_least_one = |rate| NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
    TransportOptions {
        max_requests_per_second: at_least_one(stripe.max_requests_per_second),
        meter_events_per_second: at_least_one(stripe.meter_events_per_second),
        ..TransportOptions::new(stripe.api_base.clone(), Secret::new(stripe.secret_key.expose()))
    }
}

fn billing_settings(config: &Config) -> BillingSettings {
    let selling = &config.selling;
    BillingSettings {
        return_origins: selling.return_origins.clone(),
        cors_origins: selling.cors_origins.clone(),
        limits: BillingLimits::new(selling.read_rate, selling.write_rate),
    }
}

fn shop_settings(config: &Config) -> ShopSettings {
    ShopSettings {
        proration: config.selling.proration.as_str(),
        allow_promotion_codes: config.selling.allow_promotion_codes,
    }
}

fn webhook_settings(config: &Config, handling: &Handling) -> WebhookSettings {
    let stripe = &config.stripe;
    WebhookSettings {
        secrets: stripe.webhook_secrets.iter().map(|secret| Secret::new(secret.expose())).collect(),
        livemode: stripe.secret_key.expose().contains("_live_"),
        limits: WebhookLimits::new(config.billing.webhook_rate),
        sealer: Sealer::new(config.server.encryption_keys.iter().map(config::Secret::expose)).map(Arc::new),
        outgoing: handling.outgoing(),
    }
}

/// Sealed by the key for that or, where there is none, by what the other handler must know anyway.
fn outgoing(config: &Config) -> Option<Arc<Outgoing>> {
    let secrets = config.server.encryption_keys.iter().chain(&config.stripe.webhook_secrets);
    Outgoing::new(secrets.map(config::Secret::expose)).map(Arc::new)
}

pub(super) fn handling(config: &Config, meeting: Meets) -> Result<Handling, ServerError> {
    let to = config.selling.forward_webhooks_to.clone();
    let parts = to.zip(config.stripe.webhook_secrets.first()).zip(outgoing(config));
    let forward = parts.map(|((url, secret), outgoing)| {
        let to = ForwardTo::new(url, Secret::new(secret.expose()), outgoing);
        to.map_err(|error| ServerError::Io(std::io::Error::other(error)))
    });
    let shadow = config.selling.webhook_mode == config::WebhookMode::Shadow;
    Ok(Handling { shadow, forward: forward.transpose()?, meeting })
}

fn reporter_options(config: &Config, state: &State, moved: mpsc::UnboundedSender<u32>) -> ReporterOptions {
    let meters = config.catalogue.meters.iter().zip(&state.numbers.meters);
    ReporterOptions {
        identifier_prefix: format!("tg-{}", state.ledger_id),
        meters: meters
            .map(|(m, number)| (*number, m.name.to_string(), m.stripe_event_name.to_string()))
            .collect(),
        flush_interval: config.billing.flush_interval,
        report: config.catalogue.report,
        moved,
        reconcile_settle: config.billing.reconcile_settle,
    }
}

fn preset_metrics(catalogue: &Catalogue) {
    let routes: Vec<&str> = catalogue.routes.iter().map(|route| &*route.pattern).collect();
    let tiers: Vec<&str> = catalogue.tiers.iter().map(|tier| &*tier.name).collect();
    let meters: Vec<&str> = catalogue.meters.iter().map(|meter| &*meter.name).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    METRICS.preset(&routes, &tiers, &meters, &codes);
}
