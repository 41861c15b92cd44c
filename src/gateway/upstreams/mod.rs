//! Upstreams: the servers behind the gateway, which of them takes a request, and how they are reached.
//!
//! # What it promises
//!
//! - An upstream with one server at a fixed address costs a request no choice, no lock and no clock.
//! - No server with TLS is spoken to that has not shown a certificate for its name, signed by whom the configuration
//!   trusts; there is no key to switch that off.
//! - A change of servers, by their names' addresses or by the configuration, keeps what is known of those that stay,
//!   and the connections to them.
//!
//! [`server`] is one of them, [`set`] those of an upstream now, [`attempts`] when another is asked, [`health`] asks
//! whether they are well, [`names`] where they are, [`peer`] how pingora connects, [`idle`] kept connections.

mod attempts;
mod health;
mod idle;
mod names;
mod peer;
mod probe;
mod server;
mod set;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method};
use pingora::connectors::TransportConnector;
use pingora::{Error, ErrorType};
use prometheus::IntGauge;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::config::{self, Balance, HostPort};
use crate::domain::balance::health::EjectRules;
use crate::domain::balance::{Pick, key_of};
use crate::domain::route::{Host, Route, UpstreamId};
use crate::metrics::METRICS;

use super::context::Context;

use attempts::Counted;
use set::Set;

pub use names::{Addresses, Unresolved, resolve};
pub use probe::{ProbeFailed, Probed, probe};

pub(super) use attempts::{Outcome, Pace};
pub(super) use idle::Link;
pub(super) use server::{Picked, Server};

use server::{Life, Turn};

/// More attempts than any upstream allows: they are counted here, pingora counts beside.
pub const MOST_ATTEMPTS: usize = 12;

/// All upstreams.
pub struct Upstreams {
    all: Vec<Upstream>,
    /// Whether requests of any may go by HTTP/2.
    speak_h2: bool,
    connector: TransportConnector,
}

/// `[upstreams.NAME]`.
pub(super) struct Upstream {
    plan: config::Upstream,
    /// Where there is one server, whose address never changes.
    only: Option<Arc<Server>>,
    set: ArcSwap<Set>,
    turn: AtomicU64,
    counted: Counted,
    up: IntGauge,
}

impl Upstreams {
    /// `addresses` of the servers of each, as [`resolve`] has found them. Who was there `before` goes on with the
    /// connections that it has.
    pub fn new(plans: &[config::Upstream], addresses: Vec<Addresses>, before: Option<&Self>) -> Self {
        let upstream = |(plan, addresses): (&config::Upstream, Addresses)| {
            let before = before.and_then(|before| before.by_name(&plan.name));
            Upstream::new(plan.clone(), addresses, before.map(|upstream| upstream.set.load_full()).as_deref())
        };
        let all: Vec<Upstream> = plans.iter().zip(addresses).map(upstream).collect();
        let speak_h2 = all.iter().any(Upstream::speaks_h2);
        Self { all, speak_h2, connector: TransportConnector::new(None) }
    }

    pub(super) fn get(&self, id: UpstreamId) -> &Upstream {
        &self.all[usize::from(id.0)]
    }

    /// Whether requests of any upstream may go by HTTP/2.
    pub(super) fn speak_h2(&self) -> bool {
        self.speak_h2
    }

    /// A connection to a server, and whether others have used it before.
    pub(super) async fn connect(&self, server: &Server, pace: &Pace) -> pingora::Result<(Link, bool)> {
        if let Some(link) = server.life.idle.take() {
            return Ok((link, true));
        }
        // Rarely taken, and large.
        let stream = Box::pin(self.connector.new_stream(&server.peer));
        let stream = match pace.deadline {
            None => stream.await?,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), stream)
                .await
                .map_err(|_| Error::explain(ErrorType::ConnectTimedout, "no time is left"))??,
        };
        let timer = Box::pin(tokio::time::sleep(pace.read));
        Ok((Link { stream, timer }, false))
    }

    /// Closes idle connections that nobody needs, and tells how many servers are well.
    fn tidy_up(&self) {
        for upstream in &self.all {
            let set = upstream.set.load();
            for server in &set.servers {
                server.life.idle.close_old(upstream.plan.timeouts.keepalive);
            }
            upstream.tell();
        }
    }

    /// Looks after all of them for as long as what this returns is kept.
    #[must_use]
    pub fn look_after(self: &Arc<Self>, runtime: &Handle) -> JoinSet<()> {
        /// How often idle connections are looked at.
        const EVERY: Duration = Duration::from_secs(5);
        let mut care = JoinSet::new();
        let upstreams = self.clone();
        let tidy_up = async move {
            loop {
                upstreams.tidy_up();
                tokio::time::sleep(EVERY).await;
            }
        };
        care.spawn_on(tidy_up, runtime);
        for (at, upstream) in self.all.iter().enumerate() {
            if upstream.plan.health_check.is_some() {
                care.spawn_on(health::keep_checking(self.clone(), at), runtime);
            }
            if !upstream.plan.servers.iter().all(|server| names::is_fixed(&server.address)) {
                care.spawn_on(names::keep_resolving(self.clone(), at), runtime);
            }
        }
        care
    }

    /// Others have taken their place. Servers that are not among those keep no connection beyond the requests that
    /// still go through it.
    pub fn give_way_to(&self, next: &Self) {
        let next_lives: Vec<_> = next.lives();
        for life in self.lives() {
            if !next_lives.iter().any(|kept| Arc::ptr_eq(kept, &life)) {
                life.idle.close_for_good();
            }
        }
        for gone in self.all.iter().filter(|upstream| next.by_name(&upstream.plan.name).is_none()) {
            // An error says that nothing was told of it.
            let _ = METRICS.upstream_up.remove_label_values(&[&gone.plan.name]);
        }
    }

    fn lives(&self) -> Vec<Arc<Life>> {
        let lives = |upstream: &Upstream| {
            let set = upstream.set.load();
            set.servers.iter().map(|server| server.life.clone()).collect::<Vec<_>>()
        };
        self.all.iter().flat_map(lives).collect()
    }

    fn by_name(&self, name: &str) -> Option<&Upstream> {
        self.all.iter().find(|upstream| upstream.plan.name == name)
    }

    /// The addresses that a server has now.
    fn addresses_of(&self, upstream: &str, server: &HostPort) -> Option<Vec<SocketAddr>> {
        let upstream = self.by_name(upstream)?;
        let at = upstream.plan.servers.iter().position(|known| known.address == *server)?;
        upstream.set.load().addresses.get(at).filter(|found| !found.is_empty()).cloned()
    }
}

impl Upstream {
    fn new(plan: config::Upstream, addresses: Addresses, before: Option<&Set>) -> Self {
        let came = before.map(|_| Instant::now());
        let set = Set::new(&plan, addresses, before, came);
        if plan.health_check.is_none() {
            set.servers.iter().for_each(|server| server.life.is_not_checked());
        }
        let fixed = plan.servers.iter().all(|server| names::is_fixed(&server.address));
        let upstream = Self {
            only: match &*set.servers {
                [only] if fixed => Some(only.clone()),
                _ => None,
            },
            counted: Counted::new(&plan.name),
            up: METRICS.upstream_up.with_label_values(&[&plan.name]),
            set: ArcSwap::from_pointee(set),
            turn: AtomicU64::new(0),
            plan,
        };
        upstream.tell();
        upstream
    }

    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The server for the next attempt; an error where there is none.
    pub fn turn(&self, context: &mut Context) -> pingora::Result<Turn<'_>> {
        let turn = self.next_turn(context)?;
        context.asked = Some(turn.life.address);
        Ok(turn)
    }

    fn next_turn(&self, context: &Context) -> pingora::Result<Turn<'_>> {
        if let Some(only) = &self.only {
            return Ok(Turn::Only(only));
        }
        let set = self.set.load();
        let chosen = set.choose(self.pick(context), &context.tried, &self.plan);
        let none = || Error::explain(ErrorType::ConnectNoRoute, "the upstream has no server").into_up();
        Ok(Turn::Picked(Picked::new(chosen.ok_or_else(none)?.clone())))
    }

    fn pick(&self, context: &Context) -> Pick {
        let turn = || self.turn.fetch_add(1, Ordering::Relaxed);
        match self.plan.balance {
            Balance::RoundRobin => Pick::InTurn(turn()),
            Balance::LeastConnections => Pick::LeastBusy(turn()),
            Balance::Customer => Pick::Caller(key_of(match &context.identity {
                Some(identity) => identity.customer.as_bytes(),
                None => context.connection.client_text.as_bytes(),
            })),
        }
    }

    pub fn pace(&self, route: &Route, context: &Context) -> Pace {
        Pace::new(&self.plan, route, context)
    }

    /// The `Host` that a server sees instead of the client's.
    pub fn host(&self, route: &Route, server: &Server) -> Option<HeaderValue> {
        let own = route.extras.as_ref().and_then(|extras| extras.host.as_ref());
        match own.unwrap_or(&self.plan.host) {
            Host::Keep => None,
            Host::Server => Some(server.host.clone()),
            Host::Name(name) => HeaderValue::from_str(name).ok(),
        }
    }

    /// Takes note of how an attempt at a server ended.
    pub fn note(&self, server: &Server, outcome: Outcome) {
        self.counted.count(outcome);
        let Some(eject) = &self.plan.eject else { return };
        if !outcome.is_failure() {
            return server.life.succeeded();
        }
        let whole = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let rules = EjectRules {
            failures: eject.failures,
            within_ms: whole(eject.within),
            lasts_ms: whole(eject.lasts),
        };
        let now = millis(Instant::now());
        let set = self.set.load();
        if server.life.failed(rules, now, || set.may_eject(now)) {
            let (upstream, server) = (&self.plan.name, server.life.address);
            tracing::warn!(upstream, %server, "a server that goes on failing is left alone for a while");
            self.tell();
        }
    }

    /// Takes note of an attempt that ended with an error before anything of an answer went out.
    pub fn note_error(&self, server: &Server, error: &Error) {
        if let Some(outcome) = Outcome::of(error) {
            self.note(server, outcome);
        }
    }

    /// An error where another server is asked although this one has answered.
    pub fn take_or_ask_another(
        &self,
        status: u16,
        method: &Method,
        pace: &Pace,
        context: &Context,
    ) -> pingora::Result<()> {
        let in_vain = !self.plan.retry_on.is_empty()
            && self.plan.retry_on.contains(&status)
            && attempts::sends_again(&self.plan, pace, method, false, context);
        if in_vain { Err(attempts::answered_in_vain(status)) } else { Ok(()) }
    }

    /// Whether there is another attempt after one for which no connection could be made.
    pub fn connects_again(&self, server: &Server, pace: &Pace, context: &mut Context) -> bool {
        let again = attempts::connects_again(&self.plan, pace, context);
        if again {
            context.tried.push(server.life.address);
        }
        again
    }

    /// Whether there is another attempt after one that ended with an error. Nothing of an answer has gone out.
    pub fn sends_again(
        &self,
        server: &Server,
        pace: &Pace,
        (method, reused, error): (&Method, bool, &Error),
        context: &mut Context,
    ) -> bool {
        let again = attempts::is_in_vain(error)
            || (attempts::broke_off(error)
                && attempts::sends_again(&self.plan, pace, method, reused, context));
        // A kept connection that was closed says nothing against the server.
        if again && (!reused || attempts::is_in_vain(error)) {
            context.tried.push(server.life.address);
        }
        again
    }

    /// Whether its requests may go by HTTP/2.
    pub fn speaks_h2(&self) -> bool {
        self.plan.servers.iter().any(|server| peer::speaks_h2(&self.plan, server))
    }

    /// How many servers are well, to whoever watches.
    fn tell(&self) {
        let well = self.set.load().well(millis(Instant::now()));
        self.up.set(i64::try_from(well).unwrap_or(i64::MAX));
    }
}

/// An instant in milliseconds that only grow; the first are of this process's beginning, never 0.
fn millis(at: Instant) -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(at.saturating_duration_since(*START).as_millis()).unwrap_or(u64::MAX - 1) + 1
}

#[cfg(test)]
mod tests;
