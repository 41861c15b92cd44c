//! What takes effect with a restart alone.
//!
//! A changed key is in force after a reload, or it is named here: none is passed over in silence. Every section is
//! taken apart whole, so that a new key cannot be forgotten.

use super::Config;
use super::checked::billing::Billing;
use super::checked::log::Log;
use super::checked::selling::Selling;
use super::checked::server::Server;
use super::checked::stripe::Stripe;
use super::checked::{doors::Doors, ledger::Ledger};

/// The keys in which a configuration differs from the one that runs, and that a reload does not put in force.
pub fn needs_restart(running: &Config, new: &Config) -> Vec<&'static str> {
    let mut changed = Changed(Vec::new());
    let Config {
        server,
        log,
        ledger,
        auth: _,
        callers: _,
        upstreams: _,
        catalogue,
        billing,
        selling,
        targets,
        retention,
        stripe,
        fleet,
        access_log: _,
        tracing: _,
        file: _,
        seen: _,
        files: _,
        warnings: _,
    } = running;
    changed.server(server, &new.server);
    let Log { format, level: _ } = log;
    changed.note("log.format", format != &new.log.format);
    changed.ledger(ledger, &new.ledger);
    let meters = |config: &Config| config.catalogue.meters.iter().cloned().collect::<Vec<_>>();
    changed.note("meters", !same(meters(running), meters(new)));
    changed.note("billing.currency", catalogue.currency != new.catalogue.currency);
    changed.note("billing.report", catalogue.report != new.catalogue.report);
    changed.billing(billing, &new.billing);
    changed.selling(selling, &new.selling);
    changed.note("webhooks", targets != &new.targets);
    changed.note("retention", retention != &new.retention);
    changed.stripe(stripe, &new.stripe);
    changed.note("fleet", fleet != &new.fleet);
    // What is waiting for the other handler is sealed with these.
    let handed_on = selling.forward_webhooks_to.is_some();
    let sealing = server.encryption_keys != new.server.encryption_keys
        || stripe.webhook_secrets != new.stripe.webhook_secrets;
    changed.note("server.encryption_keys or stripe.webhook_secrets", handed_on && sealing);
    changed.0
}

/// In whatever order.
fn same(mut one: Vec<crate::domain::units::Meter>, mut other: Vec<crate::domain::units::Meter>) -> bool {
    one.sort_by(|a, b| a.name.cmp(&b.name));
    other.sort_by(|a, b| a.name.cmp(&b.name));
    one == other
}

struct Changed(Vec<&'static str>);

impl Changed {
    fn note(&mut self, key: &'static str, has_changed: bool) {
        self.0.extend(has_changed.then_some(key));
    }

    fn server(&mut self, running: &Server, new: &Server) {
        let Server {
            listen,
            admin_listen,
            admin_hosts: _,
            admin_token: _,
            encryption_keys: _,
            threads,
            data_dir,
            public_url: _,
            max_body_bytes: _,
            drain_delay,
            drain_timeout,
            keepalive_timeout: _,
            trusted_proxies: _,
            forwarded: _,
            watch: _,
            doors,
        } = running;
        self.note("server.listen", listen != &new.listen);
        self.note("server.admin_listen", admin_listen != &new.admin_listen);
        self.note("server.threads", threads != &new.threads);
        self.note("server.data_dir", data_dir != &new.data_dir);
        self.note("server.drain_delay", drain_delay != &new.drain_delay);
        self.note("server.drain_timeout", drain_timeout != &new.drain_timeout);
        self.doors(doors, &new.doors);
    }

    fn doors(&mut self, running: &Doors, new: &Doors) {
        let Doors {
            tls,
            h2c_listen,
            plain_listen,
            redirect_listen,
            redirect_except: _,
            http2: _,
            h2: _,
            limits: _,
        } = running;
        // What is in it is replaced; what the ports speak is not.
        self.note("server.tls", tls.is_some() != new.tls.is_some());
        self.note("server.h2c_listen", h2c_listen != &new.h2c_listen);
        self.note("server.plain_listen", plain_listen != &new.plain_listen);
        self.note("server.redirect_listen", redirect_listen != &new.redirect_listen);
    }

    fn ledger(&mut self, running: &Ledger, new: &Ledger) {
        let Ledger { durability, sync_interval, retention } = running;
        self.note("ledger.durability", durability != &new.durability);
        self.note("ledger.sync_interval", sync_interval != &new.sync_interval);
        self.note("ledger.retention", retention != &new.retention);
    }

    fn billing(&mut self, running: &Billing, new: &Billing) {
        let Billing { flush_interval, reconcile_settle, paths: _, webhook_rate: _, idempotency } = running;
        self.note("billing.flush_interval", flush_interval != &new.flush_interval);
        self.note("billing.reconcile_settle", reconcile_settle != &new.reconcile_settle);
        self.note("billing.idempotency", idempotency != &new.idempotency);
    }

    fn selling(&mut self, running: &Selling, new: &Selling) {
        let Selling {
            return_origins: _,
            cors_origins: _,
            read_rate: _,
            write_rate: _,
            proration: _,
            allow_promotion_codes: _,
            sync_at,
            credits_low: _,
            webhook_mode,
            forward_webhooks_to,
            page: _,
        } = running;
        self.note("billing.sync_at", sync_at != &new.sync_at);
        self.note("billing.webhook_mode", webhook_mode != &new.webhook_mode);
        self.note("billing.forward_webhooks_to", forward_webhooks_to != &new.forward_webhooks_to);
    }

    fn stripe(&mut self, running: &Stripe, new: &Stripe) {
        let Stripe {
            mode,
            secret_key,
            webhook_secrets: _,
            api_base,
            max_requests_per_second,
            meter_events_per_second,
        } = running;
        self.note("stripe.mode", mode != &new.mode);
        self.note("stripe.secret_key", secret_key != &new.secret_key);
        self.note("stripe.api_base", api_base != &new.api_base);
        let faster = *max_requests_per_second != new.max_requests_per_second;
        self.note("stripe.max_requests_per_second", faster);
        self.note("stripe.meter_events_per_second", *meter_events_per_second != new.meter_events_per_second);
    }
}
