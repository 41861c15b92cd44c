//! What the configuration has put in force in the rooms, and how another takes its place.
//!
//! # What it promises
//!
//! - Everything that can fail comes first, and changes nothing: then one after the other, and none of it can fail.
//! - Whoever is served sees the old configuration or the new one, never a part of each. The only thing that goes ahead
//!   are customers' terms: counts have room for what requests will ask of them before the first such request.
//! - Counts, rates, units in flight and idempotency keys stay what they are, and what has not changed stays as it is:
//!   connections to upstreams, verified tokens, the limits on callers.

use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};

use crate::api::{self, AdminSettings, Public};
use crate::auth::Authenticator;
use crate::clock;
use crate::config::{Config, Jwt, LoadError, Seen, Severity, needs_restart};
use crate::customers::Customers;
use crate::customers::fleet::Leases;
use crate::domain::catalogue::{Catalogue, OutOfNumbers};
use crate::gateway::{self, Flow, Parts, RecordNumbers, Tiers, Upstreams};
use crate::ledger::Ledger;
use crate::live::Live;

use super::build::{Rooms, State};
use super::fleet::{self, Member};
use super::{ServerError, notices, settings, upstreams};

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
    upstreams: Arc<Upstreams>,
    parts: Arc<Live<Parts>>,
    admin: Arc<Live<AdminSettings>>,
    work: Handle,
}

/// What no reload replaces.
struct Lasting {
    customers: Arc<Customers>,
    ledger: Arc<Ledger>,
    leases: Option<Arc<Leases>>,
    tiers: Arc<Tiers>,
    flow: Arc<Flow>,
}

impl InForce {
    /// Puts the first configuration in force.
    pub fn begin(
        config: &Config,
        state: &State,
        rooms: &Rooms,
        member: Option<&Member>,
        flow: Arc<Flow>,
        work: &Runtime,
    ) -> Result<Self, ServerError> {
        let lasting = Lasting {
            customers: rooms.customers.clone(),
            ledger: rooms.ledger.clone(),
            leases: member.map(|member| member.leases.clone()),
            tiers: Arc::default(),
            flow,
        };
        let upstreams = upstreams::open(config, work.handle())?;
        let catalogue = config.catalogue.clone();
        let parts = lasting.parts(config, catalogue, &state.numbers, &rooms.public, &upstreams);
        Ok(Self {
            config: config.clone(),
            rooms: lasting,
            catalogue: state.catalogue.clone(),
            public: rooms.public.clone(),
            upstreams,
            parts: Arc::new(Live::new(parts)),
            admin: rooms.admin.clone(),
            work: work.handle().clone(),
        })
    }

    /// What requests go through.
    pub fn parts(&self) -> &Arc<Live<Parts>> {
        &self.parts
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
        let (numbers, public, upstreams) = self.prepare(&config, &catalogue).map_err(Rejected::Server)?;
        settings::preset_metrics(&catalogue);
        let parts = self.rooms.parts(&config, catalogue.clone(), &numbers, &public, &upstreams);
        // From here on nothing can fail.
        self.catalogue.set(catalogue.clone());
        if let Some(leases) = &self.rooms.leases {
            leases.set_words(Arc::new(fleet::words(&catalogue)));
        }
        self.rooms.customers.succeed(catalogue, numbers.meters, clock::now());
        self.parts.set(parts);
        self.admin.set(Arc::new(settings::admin(&config)));
        self.public.shop.set(settings::shop(&config));
        (self.public, self.upstreams, self.config) = (public, upstreams, config);
        Ok(entitles_otherwise)
    }

    /// Everything that can fail.
    fn prepare(
        &self,
        config: &Config,
        catalogue: &Catalogue,
    ) -> Result<(RecordNumbers, Public, Arc<Upstreams>), ServerError> {
        let authenticator = if verify_alike(&self.config.auth, &config.auth) {
            self.public.authenticator.clone()
        } else {
            Authenticator::new(&settings::auth(config)?, &self.work)?
        };
        let upstreams = if self.config.upstreams == config.upstreams {
            self.upstreams.clone()
        } else {
            upstreams::open(config, &self.work)?
        };
        let public = Public { authenticator, ..self.public.clone() };
        let public = self.with_settings(public, config);
        notices::set_credits_low(&public.store, config)?;
        let numbers = settings::number_names(&public.store, catalogue, &config.catalogue)?;
        Ok((numbers, public, upstreams))
    }

    /// What has not changed goes on counting where it is.
    fn with_settings(&self, mut public: Public, config: &Config) -> Public {
        let before = &self.config;
        if before.selling != config.selling {
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
        public: &Public,
        upstreams: &Arc<Upstreams>,
    ) -> Arc<Parts> {
        let (public_paths, own_paths) = settings::paths(config);
        let rooms = gateway::Rooms {
            catalogue,
            authenticator: public.authenticator.clone(),
            customers: self.customers.clone(),
            ledger: self.ledger.clone(),
            upstreams: upstreams.clone(),
            api: api::public(&public_paths, public.clone()),
            fleet: public.others.fleet().cloned(),
            tiers: self.tiers.clone(),
        };
        Parts::new(rooms, numbers.clone(), settings::gateway(config, own_paths), self.flow.clone())
    }
}

/// Whether tokens that hold for one hold for the other, and say the same.
fn verify_alike(one: &Jwt, other: &Jwt) -> bool {
    let forwarding = other.forward_token;
    Jwt { forward_token: forwarding, ..one.clone() } == *other
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
