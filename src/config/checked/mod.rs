//! The file as checked: plain values, and what must hold between them.
//!
//! Every check runs, whatever another found, so that all mistakes show together. A function here returns `None`
//! only where a needed value is missing, which has then been reported; the values it returns beside a mistake are
//! never used, since [`super::parse`] gives none out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::containers;
use super::diagnostic::{Diagnostic, counted};
use super::findings::{Findings, Place, suggestion};
use super::seen::Seen;
use super::written;
use crate::domain::catalogue::Catalogue;

pub(crate) mod auth;
pub(crate) mod billing;
pub(crate) mod callers;
mod catalogue;
mod costs;
mod credits;
pub(crate) mod doors;
mod edges;
mod extras;
pub(crate) mod fleet;
pub(crate) mod ledger;
pub(crate) mod log;
pub(crate) mod outgoing;
mod rates;
pub(crate) mod retention;
mod routes;
pub(crate) mod selling;
pub(crate) mod server;
pub(crate) mod stripe;
mod tiers;
pub(crate) mod tls;
pub(crate) mod upstreams;
pub(crate) mod watching;

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: server::Server,
    pub log: log::Log,
    pub ledger: ledger::Ledger,
    pub auth: auth::Jwt,
    /// Who calls, beside tokens.
    pub callers: callers::Callers,
    /// Indexed by [`crate::domain::route::UpstreamId`].
    pub upstreams: Vec<upstreams::Upstream>,
    pub catalogue: Arc<Catalogue>,
    pub billing: billing::Billing,
    pub selling: selling::Selling,
    /// Who is told what happens to customers.
    pub targets: Vec<outgoing::Target>,
    pub retention: retention::Retention,
    pub stripe: stripe::Stripe,
    /// `None`: this gateway is the only one.
    pub fleet: Option<fleet::Fleet>,
    /// `None`: requests leave no line.
    pub access_log: Option<watching::AccessLog>,
    /// `None`: requests leave no spans.
    pub tracing: Option<watching::Tracing>,
    /// The file that this was read from; none of a text that no file has.
    pub file: Option<PathBuf>,
    /// That file and those that it names, when they were read.
    pub seen: Vec<Seen>,
    /// The files that it names, and that were read with it.
    pub files: Vec<PathBuf>,
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// What it sells: `12 routes, 2 tiers, 1 meter`.
    pub fn extent(&self) -> String {
        let catalogue = &self.catalogue;
        let routes = counted(catalogue.routes.iter().count(), "route");
        let tiers = counted(catalogue.tiers.len(), "tier");
        format!("{routes}, {tiers}, {}", counted(catalogue.meters.len(), "meter"))
    }
}

pub(crate) fn check(written: &written::Root, found: &mut Findings) -> Option<Config> {
    let server = written.server.get().and_then(|server| server::check(server, found));
    let callers = written.auth.get().map(|auth| callers::check(written, auth, found));
    let auth = written.auth.get().and_then(|auth| auth::check(auth.jwt.get()?, found));
    let upstreams = written.upstreams.at().map(|upstreams| upstreams::check(upstreams, found));
    let billing = billing::check(&written.billing.value, found);
    let public_url = written.server.get().and_then(|server| server.public_url.get());
    let selling = selling::check(&written.billing.value, public_url, found);
    let targets = outgoing::check(&written.webhooks.value, found);
    let catalogue = catalogue::check(written, found);
    let stripe = written.stripe.get().and_then(|stripe| stripe::check(stripe, found));
    let tiers = written.tiers.get();
    let fleet = written.fleet.get().and_then(|fleet| fleet::check(fleet, tiers, stripe.as_ref(), found));
    let tracing = written.tracing.get().and_then(|tracing| watching::tracing(tracing, found));
    Some(Config {
        server: server?,
        log: log::check(&written.log.value),
        ledger: ledger::check(&written.ledger.value),
        auth: auth?,
        callers: callers?,
        upstreams: upstreams?,
        catalogue: Arc::new(catalogue?),
        billing,
        selling,
        targets,
        retention: retention::check(&written.retention.value),
        stripe: stripe?,
        fleet,
        access_log: written.access_log.get().and_then(watching::access_log),
        tracing,
        file: None,
        seen: Vec::new(),
        files: Vec::new(),
        warnings: Vec::new(),
    })
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// The names that a kind of reference can have.
struct Names {
    kind: &'static str,
    known: Vec<String>,
}

impl Names {
    fn new<'a>(kind: &'static str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self { kind, known: known.into_iter().map(str::to_owned).collect() }
    }

    /// The position of a name; an unknown one is reported, unless there is none at all: then that is.
    fn find(&self, name: &str, place: &Place, found: &mut Findings) -> Option<usize> {
        let position = self.known.iter().position(|known| known == name);
        if position.is_none() && !self.known.is_empty() {
            let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
            found.error(place, format!("there is no {} `{name}`", self.kind), suggestion(name, &known));
        }
        position
    }
}

/// Names that become part of keys at Stripe, of labels and of headers: at least one, lower case, not too many.
fn check_names<'a>(
    kind: &str,
    table: &Place,
    names: impl IntoIterator<Item = (&'a str, &'a Place)>,
    most: usize,
    found: &mut Findings,
) {
    let mut count = 0;
    for (name, place) in names {
        count += 1;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        // What is no name at all is reported where the table is read.
        if containers::name(name).is_ok() && !name.bytes().all(plain) {
            let what = format!("this name cannot be that of a {kind}");
            found.error(place, what, "use lower-case letters, digits, `_` and `-`");
        }
    }
    if count == 0 {
        found.error(table, format!("there is no {kind}"), format!("write at least one [{}.NAME]", table.key));
    }
    if count > most {
        found.error(table, format!("there are too many: {count}"), format!("write at most {most}"));
    }
}
