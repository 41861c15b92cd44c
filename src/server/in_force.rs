//! What the configuration has put in force in the rooms, and how another takes its place.
//!
//! # What it promises
//!
//! - Everything that can fail comes first, and changes nothing: then one after the other, and none of it can fail.
//! - Whoever is served sees the old configuration or the new one, never a part of each. The only thing that goes ahead
//!   are customers' terms: counts have room for what requests will ask of them before the first such request.
//! - Counts, rates, units in flight and idempotency keys stay what they are, and what has not changed stays as it is:
//!   connections to upstreams and what is known of their servers, verified tokens, the limits on callers.
//! - A connection goes on with the certificates that it was opened with, a request with what it began with.

use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};

use crate::api::{self, AdminSettings, KeyDesk, Public};
use crate::auth::Authenticator;
use crate::auth::keys::KeyTable;
use crate::clock;
use crate::config::{Config, Jwt, LoadError, Seen, Severity, needs_restart};
use crate::customers::Customers;
use crate::customers::fleet::Leases;
use crate::domain::catalogue::{Catalogue, OutOfNumbers};
use crate::gateway::{self, Flow, Parts, RecordNumbers, Tiers, Tls, Upstreams};
use crate::ledger::Ledger;
use crate::live::Live;
use crate::pages;
use crate::telemetry::LOG;

use super::build::{Rooms, State};
use super::fleet::{self, Member};
use super::telling::Told;
use super::{ServerError, callers, notices, settings, upstreams};

/// Why the configuration stays as it was.
#[derive(Debug)]
pub(super) enum Rejected {
    NoFile,
    Load(LoadError),
    Restart(Vec<&'static str>),
    Numbers(OutOfNumbers),
    Server(ServerError),
}

/// What runs, and what it was made from.
pub(super) struct InForce {
    /// As its file has it.
    config: Config,
    rooms: Lasting,
    catalogue: Arc<Live<Catalogue>>,
    public: Public,
    upstreams: upstreams::Kept,
    parts: Arc<Live<Parts>>,
    /// There where a port speaks TLS.
    tls: Option<Arc<Tls>>,
    told: Arc<Live<Told>>,
    admin: Arc<Live<AdminSettings>>,
    key_desk: Arc<Live<KeyDesk>>,
    work: Handle,
}

/// What no reload replaces.
struct Lasting {
    customers: Arc<Customers>,
    /// All API keys, whether they are accepted or not.
    keys: Arc<KeyTable>,
    ledger: Arc<Ledger>,
    leases: Option<Arc<Leases>>,
    tiers: Arc<Tiers>,
    flow: Arc<Flow>,
}

/// What another configuration needs, before any of it is in force.
struct Prepared {
    numbers: RecordNumbers,
    public: Public,
    /// `None`: upstreams stay as they are.
    found: Option<upstreams::Found>,
    tls: Option<gateway::NextTls>,
    told: Told,
}

/// What is made anew with a configuration, or stays.
#[derive(Clone, Copy)]
struct Reached<'a> {
    public: &'a Public,
    upstreams: &'a Arc<Upstreams>,
    told: &'a Told,
}

impl InForce {
    /// Puts the first configuration in force.
    pub fn begin(
        config: &Config,
        state: &State,
        rooms: &Rooms,
        member: Option<&Member>,
        (flow, found): (Arc<Flow>, upstreams::Found),
        work: &Runtime,
    ) -> Result<Self, ServerError> {
        let lasting = Lasting {
            customers: rooms.customers.clone(),
            keys: rooms.keys.clone(),
            ledger: rooms.ledger.clone(),
            leases: member.map(|member| member.leases.clone()),
            tiers: Arc::default(),
            flow,
        };
        let upstreams = upstreams::Kept::new(found, None, work.handle());
        let doors = &config.server.doors;
        let tls = doors.tls.as_ref().map(|tls| Tls::new(tls, doors.http2).map(Arc::new)).transpose()?;
        let catalogue = config.catalogue.clone();
        let told = Told::new(config, None, work.handle())?;
        let reached = Reached { public: &rooms.public, upstreams: &upstreams.upstreams, told: &told };
        let parts = lasting.parts(config, catalogue, &state.numbers, reached);
        Ok(Self {
            config: config.clone(),
            rooms: lasting,
            catalogue: state.catalogue.clone(),
            public: rooms.public.clone(),
            upstreams,
            parts: Arc::new(Live::new(parts)),
            tls,
            told: Arc::new(Live::new(Arc::new(told))),
            admin: rooms.admin.clone(),
            key_desk: rooms.key_desk.clone(),
            work: work.handle().clone(),
        })
    }

    /// What requests go through.
    pub fn parts(&self) -> &Arc<Live<Parts>> {
        &self.parts
    }

    /// What clients' handshakes go by.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Who is told of requests that are over.
    pub fn told(&self) -> &Arc<Live<Told>> {
        &self.told
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn customers(&self) -> &Arc<Customers> {
        &self.rooms.customers
    }

    /// The files that it was read from, as they were then.
    pub fn seen(&self) -> &[Seen] {
        &self.config.seen
    }

    /// Puts another configuration in the place of this one, and answers whether it entitles anybody to something else.
    /// It waits for the disk, and must not be called by what others wait for.
    ///
    /// # Errors
    /// When it cannot be put in force: then nothing has changed.
    pub fn replace(&mut self, config: Config) -> Result<bool, Rejected> {
        let changed = needs_restart(&self.config, &config);
        if !changed.is_empty() {
            return Err(Rejected::Restart(changed));
        }
        let before = self.catalogue.now();
        let catalogue = Catalogue::clone(&config.catalogue).succeeding(&before);
        let catalogue = Arc::new(catalogue.map_err(Rejected::Numbers)?);
        let entitles_otherwise = !catalogue.entitles_as(&before);
        let prepared = self.prepare(&config, &catalogue).map_err(Rejected::Server)?;
        self.put(config, catalogue, prepared);
        Ok(entitles_otherwise)
    }

    /// None of this can fail.
    fn put(&mut self, config: Config, catalogue: Arc<Catalogue>, prepared: Prepared) {
        let Prepared { numbers, public, found, tls, told } = prepared;
        settings::preset_metrics(&catalogue);
        let before = self.upstreams.upstreams.clone();
        let upstreams = found.map(|found| upstreams::Kept::new(found, Some(&before), &self.work));
        let next = upstreams.as_ref().map_or(&before, |kept| &kept.upstreams).clone();
        let reached = Reached { public: &public, upstreams: &next, told: &told };
        let parts = self.rooms.parts(&config, catalogue.clone(), &numbers, reached);
        self.catalogue.set(catalogue.clone());
        if let Some(leases) = &self.rooms.leases {
            leases.set_words(Arc::new(fleet::words(&catalogue)));
        }
        self.rooms.customers.succeed(catalogue, numbers.meters, clock::now());
        self.parts.set(parts);
        if let Some(upstreams) = upstreams {
            self.upstreams = upstreams;
            before.give_way_to(&next);
        }
        if let Some((tls, prepared)) = self.tls.as_ref().zip(tls) {
            tls.set(prepared);
        }
        self.told.set(Arc::new(told));
        LOG.configure(&config.log.level);
        self.admin.set(Arc::new(settings::admin(&config)));
        self.key_desk.set(Arc::new(callers::key_desk(&config, public.store.clone())));
        self.public.shop.set(settings::shop(&config));
        self.public.links.set(settings::links(&config));
        (self.public, self.config) = (public, config);
    }

    /// Everything that can fail.
    fn prepare(&self, config: &Config, catalogue: &Catalogue) -> Result<Prepared, ServerError> {
        let public = Public { authenticator: self.authenticator(config)?, ..self.public.clone() };
        let public = self.with_settings(public, config);
        let found = (self.config.upstreams != config.upstreams)
            .then(|| upstreams::find(config, Some(&self.upstreams.upstreams), &self.work))
            .transpose()?;
        let doors = &config.server.doors;
        let tls = self.tls.as_ref().zip(doors.tls.as_ref());
        let tls = tls.map(|(tls, settings)| tls.prepare(settings, doors.http2)).transpose()?;
        let told = Told::new(config, Some((&self.config, &*self.told.now())), &self.work)?;
        notices::set_credits_low(&public.store, config)?;
        let numbers = settings::number_names(&public.store, catalogue, &config.catalogue)?;
        Ok(Prepared { numbers, public, found, tls, told })
    }

    /// The one that there is goes on where tokens mean what they meant: what it has verified stays verified.
    fn authenticator(&self, config: &Config) -> Result<Arc<Authenticator>, ServerError> {
        let before = &self.config;
        let now = &self.public.authenticator;
        if !verify_alike(before, config) {
            let keys = callers::accepted(config, &self.rooms.keys);
            return Ok(Authenticator::new(&settings::auth(config)?, keys, &self.work)?);
        }
        if before.callers == config.callers {
            return Ok(now.clone());
        }
        Ok(now.with(callers::accepted(config, &self.rooms.keys), Some(config.callers.failures)))
    }

    /// What has not changed goes on counting where it is.
    fn with_settings(&self, mut public: Public, config: &Config) -> Public {
        let before = &self.config;
        if before.selling != config.selling || before.server.public_url != config.server.public_url {
            public.billing = Arc::new(settings::billing(config));
        }
        let is_heard_alike = before.stripe.webhook_secrets == config.stripe.webhook_secrets
            && before.billing.webhook_rate == config.billing.webhook_rate
            && before.server.encryption_keys == config.server.encryption_keys;
        if !is_heard_alike {
            public.webhook = Arc::new(settings::webhook(config, public.webhook.outgoing.clone()));
        }
        public
    }
}

impl Lasting {
    fn parts(
        &self,
        config: &Config,
        catalogue: Arc<Catalogue>,
        numbers: &RecordNumbers,
        Reached { public, upstreams, told }: Reached<'_>,
    ) -> Arc<Parts> {
        let (public_paths, own_paths) = settings::paths(config);
        let api = api::public(&public_paths, public.clone());
        let rooms = gateway::Rooms {
            catalogue,
            authenticator: public.authenticator.clone(),
            customers: self.customers.clone(),
            ledger: self.ledger.clone(),
            upstreams: upstreams.clone(),
            api: pages::usage::around(&api, settings::usage_page(config, &public.links)),
            fleet: public.others.fleet().cloned(),
            tiers: self.tiers.clone(),
            access: told.access(config),
            traces: told.traces(config),
        };
        Parts::new(rooms, numbers.clone(), settings::gateway(config, own_paths), self.flow.clone())
    }
}

/// Whether tokens that hold for one hold for the other, and say the same.
fn verify_alike(one: &Config, other: &Config) -> bool {
    let forwarding = other.auth.forward_token;
    Jwt { forward_token: forwarding, ..one.auth.clone() } == other.auth
        && one.callers.scope_claim == other.callers.scope_claim
}

impl Rejected {
    /// Each mistake as a person reads it.
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::NoFile => vec!["this gateway was started without a configuration file".to_owned()],
            Self::Load(LoadError::Io(why)) => vec![why.clone()],
            Self::Load(LoadError::Mistakes(found)) => {
                let mistakes = found.iter().filter(|found| found.severity == Severity::Error);
                mistakes.map(ToString::to_string).collect()
            }
            Self::Restart(keys) => keys.iter().map(|key| format!("{key} needs a restart")).collect(),
            Self::Numbers(error) => vec![error.to_string()],
            Self::Server(error) => vec![error.to_string()],
        }
    }
}
