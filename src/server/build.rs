//! From the configuration to rooms: each gets the part that it asks for, in its own words.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};

use crate::api::{AdminSettings, KeyDesk, Others, Public};
use crate::auth::Authenticator;
use crate::auth::keys::KeyTable;
use crate::billing::{self, Billing, Notices};
use crate::clock;
use crate::config::{self, Config};
use crate::customers::{Customers, Reached};
use crate::domain::catalogue::Catalogue;
use crate::gateway::RecordNumbers;
use crate::ledger::{
    Disk, Durability, Ledger, LedgerId, Lost, OpenError, Options, Position, Resume, Storage,
};
use crate::live::Live;
use crate::reporting::{Folded, Folder, LostMachines, Reconciler, Reporter, ReporterOptions};
use crate::store::{LostRecords, Store};
use crate::stripe::Transport;

use super::fleet::Member;
use super::{ServerError, settings};

/// A segment is rolled at this size: small enough to hash and read whole.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What is on disk, opened and up to date.
pub(super) struct State {
    pub store: Arc<Store>,
    pub ledger: Arc<Ledger>,
    pub ledger_id: LedgerId,
    pub folder: Folder,
    pub numbers: RecordNumbers,
    pub catalogue: Arc<Live<Catalogue>>,
}

impl State {
    /// `takes_over`: another process runs, rests, and may go on.
    pub fn open(config: &Config, takes_over: bool) -> Result<Self, ServerError> {
        let state = Self::caught_up(config, takes_over)?;
        // Their truth may still be told.
        let standing = if takes_over { 0 } else { state.store.let_estimates_stand()? };
        if standing > 0 {
            tracing::warn!(standing, "estimates were open when the last run ended: they stand as charges");
        }
        Ok(state)
    }

    /// The same with what was open when the last run ended left open.
    pub fn caught_up(config: &Config, takes_over: bool) -> Result<Self, ServerError> {
        let data_dir = &config.server.data_dir;
        let store = Arc::new(Store::open(data_dir)?);
        let ledger_id = ledger_id(&store)?;
        let numbers = settings::number_names(&store, &config.catalogue, &config.catalogue)?;
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
        let open = if takes_over { Ledger::open_lent } else { Ledger::open_after_losses };
        let ledger = open_ledger(open, disk, ledger_id, resume, &store, options)?;
        let names = config.catalogue.meters.by_number().iter().map(|meter| meter.name.to_string());
        let meters = numbers.meters.iter().copied().zip(names).collect();
        let mut folder = Folder::new(ledger.clone(), store.clone(), config.catalogue.report, resume, meters);
        folder.catch_up()?;
        let catalogue = Arc::new(Live::new(config.catalogue.clone()));
        Ok(Self { store, ledger, ledger_id, folder, numbers, catalogue })
    }
}

/// How a ledger is opened.
type Open =
    fn(Arc<dyn Storage>, LedgerId, Resume, &[Lost], Options, i64) -> Result<(Ledger, Vec<Lost>), OpenError>;

/// What the last loss of power took is kept in the store before anything more is folded.
fn open_ledger(
    open: Open,
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
    let (ledger, found) = open(Arc::new(disk), id, resume, &known, options, now.micros())?;
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
    Ok(LedgerId(store.ledger_id(fresh_ledger_id()?.0)?))
}

/// One that no ledger has.
pub(super) fn fresh_ledger_id() -> Result<LedgerId, ServerError> {
    let mut fresh = [0; 16];
    getrandom::fill(&mut fresh).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(LedgerId(fresh))
}

/// The runtime of everything that is not a proxied request.
pub(super) fn runtime() -> Result<Runtime, ServerError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).thread_name("work").enable_all().build()?)
}

/// The rooms above the adapters.
pub(super) struct Rooms {
    pub customers: Arc<Customers>,
    pub transport: Arc<Transport>,
    pub reporter: Arc<Reporter>,
    pub reconciler: Arc<Reconciler>,
    pub public: Public,
    pub admin: Arc<Live<AdminSettings>>,
    pub key_desk: Arc<Live<KeyDesk>>,
    pub keys: Arc<KeyTable>,
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
        settings::preset_metrics(&config.catalogue);
        let catalogue = state.catalogue.clone();
        let keys = Arc::<KeyTable>::default();
        let accepted = super::callers::accepted(config, &keys);
        let authenticator = Authenticator::new(&settings::auth(config)?, accepted, runtime.handle())?;
        let transport = Arc::new(Transport::new(settings::transport(config))?);
        let (ask, unknown) = mpsc::unbounded_channel();
        let (tell_reached, reached) = mpsc::unbounded_channel();
        let customers = super::fleet::customers(config, state, member, keys.clone(), (ask, tell_reached));
        runtime.block_on(super::callers::load(&customers))?;
        let (tell, moved) = mpsc::unbounded_channel();
        let lost_machines = super::fleet::lost_machines(config, state, member);
        let others = super::fleet::others(member);
        let lost = lost_machines.as_ref().map(|lost| (lost, &others));
        let reporter = Arc::new(reporter(config, state, &transport, tell, lost));
        let arrived = Arc::<Notify>::default();
        let handling = settings::handling(config, super::fleet::meeting(member))?;
        let webhook = settings::webhook(config, handling.outgoing());
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
        let links = Arc::new(super::fleet::links(config, state, member));
        let public = Public {
            catalogue,
            authenticator,
            customers: customers.clone(),
            store: state.store.clone(),
            billing: Arc::new(settings::billing(config)),
            shop: Arc::new(billing.shop(settings::shop(config))),
            links,
            reporter: reporter.clone(),
            transport: transport.clone(),
            work: runtime.handle().clone(),
            webhook: Arc::new(webhook),
            arrived,
            others,
        };
        Ok(Self {
            customers,
            transport,
            reporter,
            reconciler: Arc::new(reconciler),
            public,
            admin: Arc::new(Live::new(Arc::new(settings::admin(config)))),
            key_desk: Arc::new(Live::new(Arc::new(super::callers::key_desk(config, state.store.clone())))),
            keys,
            ledger: state.ledger.clone(),
            ledger_id: state.ledger_id,
            folded: state.folder.folded(),
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
    runtime.spawn(super::house::raise_moved(customers.clone(), moved));
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
    runtime.spawn(super::house::keep_house(customers, ledger, store, folded, super::house::Kept::of(config)));
}

fn reporter_options(config: &Config, state: &State, moved: mpsc::UnboundedSender<u32>) -> ReporterOptions {
    let meters = config.catalogue.meters.by_number().iter().zip(&state.numbers.meters);
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
