//! From the configuration to what each room is set to, at the start and with every reload.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};

use crate::api::{
    Admin, AdminSettings, BillingLimits, BillingSettings, PublicPaths, WebhookLimits, WebhookSettings,
};
use crate::auth;
use crate::billing::{ForwardTo, Handling, LinkSettings, Links, Outgoing, ShopSettings};
use crate::clock;
use crate::config::{self, Config, Paths};
use crate::domain::catalogue::Catalogue;
use crate::domain::origin::Origin;
use crate::gateway::{self, OwnPaths, RecordNumbers, Redirects};
use crate::metrics::METRICS;
use crate::pages::parts::session::SessionKey;
use crate::pages::usage;
use crate::problem::Code;
use crate::seal::Sealer;
use crate::store::{NameKind, Store, StoreError};
use crate::stripe::{Secret, Transport, TransportOptions};

use super::ServerError;
use super::fleet::Meets;

pub(super) fn auth(config: &Config) -> Result<auth::Settings, ServerError> {
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

/// The way to Stripe, for commands that need nothing else.
pub fn to_stripe(config: &Config) -> Result<Transport, ServerError> {
    Ok(Transport::new(transport(config))?)
}

/// How Stripe is spoken to.
pub fn transport(config: &Config) -> TransportOptions {
    let stripe = &config.stripe;
    let at_least_one = |rate| NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
    TransportOptions {
        max_requests_per_second: at_least_one(stripe.max_requests_per_second),
        meter_events_per_second: at_least_one(stripe.meter_events_per_second),
        ..TransportOptions::new(stripe.api_base.clone(), Secret::new(stripe.secret_key.expose()))
    }
}

pub(super) fn billing(config: &Config) -> BillingSettings {
    let selling = &config.selling;
    BillingSettings {
        return_origins: return_origins(config),
        cors_origins: selling.cors_origins.clone(),
        limits: BillingLimits::new(selling.read_rate, selling.write_rate),
    }
}

/// Those of the configuration and, behind them, the gateway's own: the usage page is there.
fn return_origins(config: &Config) -> Vec<Origin> {
    let mut origins = config.selling.return_origins.clone();
    let own = config.server.public_url.as_deref().and_then(Origin::of);
    origins.extend(own.filter(|own| !config.selling.return_origins.contains(own)));
    origins
}

pub(super) fn shop(config: &Config) -> ShopSettings {
    ShopSettings {
        proration: config.selling.proration.as_str(),
        allow_promotion_codes: config.selling.allow_promotion_codes,
    }
}

/// The usage page before the billing endpoints.
pub(super) fn usage_page(config: &Config, links: &Arc<Links>) -> usage::Settings {
    let Paths { prefix, pricing, .. } = config.billing.paths.clone();
    let page = config.selling.page.clone();
    let keys = shared_secrets(config).into_iter().map(|secret| SessionKey::derive(secret, "usage page"));
    usage::Settings {
        title: page.title,
        app_url: page.app_url,
        public_url: config.server.public_url.clone(),
        prefix,
        pricing,
        keys: keys.collect(),
        links: links.clone(),
        proration: config.selling.proration,
    }
}

/// Every node of a fleet has the webhooks' secrets, since Stripe's events come to any of them; Stripe makes them at
/// random, and they are rolled as lists. Those of the sandbox are known to everybody: it goes by a secret of its own.
fn shared_secrets(config: &Config) -> Vec<&[u8]> {
    static OWN: LazyLock<[u8; 16]> = LazyLock::new(|| *uuid::Uuid::new_v4().as_bytes());
    let secrets = config.stripe.webhook_secrets.iter().map(config::Secret::expose);
    let secrets = secrets.map(|secret| match secret {
        config::SANDBOX_WEBHOOK_SECRET => &OWN[..],
        secret => secret.as_bytes(),
    });
    secrets.collect()
}

/// Links to the usage page.
pub(super) fn links(config: &Config) -> LinkSettings {
    let prefix = &config.billing.paths.prefix;
    let to = config.server.public_url.as_ref().map(|url| format!("{url}{prefix}/open?link="));
    LinkSettings::new(shared_secrets(config), to)
}

pub(super) fn webhook(config: &Config, outgoing: Option<Arc<Outgoing>>) -> WebhookSettings {
    let stripe = &config.stripe;
    WebhookSettings {
        secrets: stripe.webhook_secrets.iter().map(|secret| Secret::new(secret.expose())).collect(),
        livemode: stripe.secret_key.expose().contains("_live_"),
        limits: WebhookLimits::new(config.billing.webhook_rate),
        sealer: sealer(config),
        outgoing,
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

/// Seals what is kept of webhooks.
fn sealer(config: &Config) -> Option<Arc<Sealer>> {
    Sealer::new(config.server.encryption_keys.iter().map(config::Secret::expose)).map(Arc::new)
}

/// What guards the operator's port.
pub(super) fn admin(config: &Config) -> AdminSettings {
    AdminSettings {
        hosts: config.server.admin_hosts.clone(),
        sealer: sealer(config),
        token_digest: config.server.admin_token.as_ref().map(|token| Admin::digest(token.expose())),
        return_origins: return_origins(config),
    }
}

/// What the gateway answers itself, and where.
pub(super) fn paths(config: &Config) -> (PublicPaths, OwnPaths) {
    let Paths { prefix, pricing, webhook } = config.billing.paths.clone();
    let public = PublicPaths { prefix: prefix.clone(), pricing: pricing.clone(), webhook: webhook.clone() };
    (public, OwnPaths { prefix, pricing, webhook })
}

pub(super) fn gateway(config: &Config, own_paths: OwnPaths) -> gateway::Settings {
    let pricing = &own_paths.pricing;
    gateway::Settings {
        max_body: config.server.max_body_bytes,
        forward_token: config.auth.forward_token,
        key_header: super::callers::header(config),
        anonymous: config.callers.anonymous,
        upgrade_url: config.server.public_url.as_ref().map(|url| format!("{url}{pricing}")),
        trusted_proxies: config.server.trusted_proxies.clone(),
        keepalive_timeout: config.server.keepalive_timeout,
        limits: config.server.doors.limits,
        h2: config.server.doors.h2,
        client_certificate: config.callers.client_certificate,
        redirects: redirects(&config.server),
        forwarded: config.server.forwarded,
        own_paths,
    }
}

/// Clients are sent to the public URL's port where that speaks TLS, else to our own.
fn redirects(server: &config::Server) -> Redirects {
    let public = server.public_url.as_deref().and_then(|url| url.strip_prefix("https://"));
    let public = public.and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let own = server.listen.first().map_or(443, SocketAddr::port);
    let port = public.as_deref().map(|host| {
        let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        port.and_then(|(_, port)| port.parse().ok()).unwrap_or(443)
    });
    Redirects { port: port.unwrap_or(own), public, except: server.doors.redirect_except.clone() }
}

/// Numbers in the store for all names of a catalogue. `written`: the same as its file has it, whose fingerprint records
/// carry.
pub(super) fn number_names(
    store: &Store,
    catalogue: &Catalogue,
    written: &Catalogue,
) -> Result<RecordNumbers, StoreError> {
    let routes = catalogue.routes.by_number().iter().map(|route| route.pattern.to_string());
    let tiers = catalogue.tiers.by_number().iter().map(|tier| tier.name.to_string());
    let meters = catalogue.meters.by_number().iter().map(|meter| meter.name.to_string());
    let digest = Sha256::digest(format!("{written:?}"));
    let configuration = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    store.note_configuration(configuration, clock::now().seconds())?;
    Ok(RecordNumbers {
        routes: store.number_names(NameKind::Route, routes.collect())?,
        tiers: store.number_names(NameKind::Tier, tiers.collect())?,
        meters: store.number_names(NameKind::Meter, meters.collect())?,
        configuration,
    })
}

pub(super) fn preset_metrics(catalogue: &Catalogue) {
    let routes: Vec<&str> = catalogue.routes.by_number().iter().map(|route| &*route.pattern).collect();
    let tiers: Vec<&str> = catalogue.tiers.by_number().iter().map(|tier| &*tier.name).collect();
    let meters: Vec<&str> = catalogue.meters.by_number().iter().map(|meter| &*meter.name).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    METRICS.preset(&routes, &tiers, &meters, &codes);
}
