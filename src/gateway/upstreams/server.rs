//! One server: how it is spoken to, and what is known of it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use crate::config::{self, UpstreamServer};
use crate::domain::balance::health::{CheckRules, Checked, EjectRules, Failures};
use crate::domain::balance::{Candidate, key_of};

use super::idle::{Idle, Link};
use super::{Pace, millis, peer};

/// Idle connections kept for each server.
const MOST_IDLE: usize = 512;

/// One server of an upstream, as the configuration has it.
pub(in crate::gateway) struct Server {
    /// Speaks HTTP/1.1.
    pub peer: HttpPeer,
    /// For pingora's way, where HTTP/2 is spoken, or may be.
    pub h2: Option<HttpPeer>,
    /// What stands before every path; empty for nothing.
    pub base: Box<str>,
    /// Its own name, as `Host` has it.
    pub host: HeaderValue,
    pub(super) life: Arc<Life>,
    /// Whether what checks say of it counts.
    is_checked: bool,
    weight: u32,
    seed: u64,
}

/// What outlasts a change of the configuration: what is known of an address, and the connections to it.
pub(super) struct Life {
    pub idle: Idle,
    pub address: SocketAddr,
    /// How it is spoken to: another way is another life.
    pub group: u64,
    busy: AtomicU32,
    ill: AtomicBool,
    /// Milliseconds of [`millis`]: until when it is left alone, and when it came back; 0 for never.
    out_until: AtomicU64,
    back_at: AtomicU64,
    /// Failures have been noted that no good answer has followed.
    fails: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    checked: Checked,
    failures: Failures,
}

impl Server {
    pub(super) fn new(plan: &config::Upstream, written: &UpstreamServer, life: Arc<Life>) -> Self {
        let usual_port = if written.tls { ":443" } else { ":80" };
        let shown = written.address.to_string();
        let usual = shown.strip_suffix(usual_port).unwrap_or(&shown);
        Self {
            peer: peer::http1(plan, written, &life),
            h2: peer::http2(plan, written, &life),
            base: written.base.as_str().into(),
            host: HeaderValue::from_str(usual).unwrap_or_else(|_| HeaderValue::from_static("")),
            is_checked: plan.health_check.is_some(),
            weight: written.weight,
            seed: key_of(life.address.to_string().as_bytes()),
            life,
        }
    }

    /// For pingora's way, which has one limit for a server's silence, whatever it is to say next.
    pub fn peer_for(&self, pace: &Pace) -> Box<HttpPeer> {
        let mut peer = Box::new(self.h2.as_ref().unwrap_or(&self.peer).clone());
        let options = &mut peer.options;
        options.total_connection_timeout = options.total_connection_timeout.map(|limit| pace.left_of(limit));
        options.read_timeout = Some(pace.left_of(pace.first_byte));
        peer
    }

    /// A path as it is asked for here; none where it is as given.
    pub fn path(&self, path: &str) -> Option<String> {
        (!self.base.is_empty()).then(|| format!("{}{path}", self.base))
    }

    /// Keeps a connection for the next request.
    pub fn keep(&self, link: Link, now: Instant) {
        self.life.idle.keep(link, now);
    }

    pub(super) fn is_well(&self, now_ms: u64) -> bool {
        let ill = self.is_checked && self.life.ill.load(Ordering::Relaxed);
        !ill && !self.life.is_out(now_ms)
    }

    pub(super) fn candidate(&self, tried: &[SocketAddr], now_ms: u64) -> Candidate {
        let life = &self.life;
        let back_at = life.back_at.load(Ordering::Relaxed);
        Candidate {
            weight: self.weight,
            busy: life.busy.load(Ordering::Relaxed),
            well: self.is_well(now_ms),
            back_for_ms: (back_at > 0).then(|| now_ms.saturating_sub(back_at)),
            seed: self.seed,
            tried: tried.contains(&life.address),
        }
    }
}

impl Life {
    /// Of a server that was there from the start, or came at an instant.
    pub fn new(address: SocketAddr, group: u64, came: Option<Instant>) -> Self {
        Self {
            idle: Idle::new(MOST_IDLE),
            address,
            group,
            busy: AtomicU32::new(0),
            ill: AtomicBool::new(false),
            out_until: AtomicU64::new(0),
            back_at: AtomicU64::new(came.map_or(0, millis)),
            fails: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }

    /// Whether it is left alone for what requests met.
    pub fn is_out(&self, now_ms: u64) -> bool {
        self.out_until.load(Ordering::Relaxed) > now_ms
    }

    /// Takes note of a check; true where it changes what is thought.
    pub fn checked(&self, good: bool, rules: CheckRules, now_ms: u64) -> bool {
        let mut known = self.known();
        let changed = known.checked.note(good, rules);
        if changed {
            self.ill.store(!good, Ordering::Relaxed);
            if good {
                self.back_at.store(now_ms.max(1), Ordering::Relaxed);
            }
        }
        changed
    }

    /// Nobody checks it any more: what checks have said is forgotten.
    pub fn is_not_checked(&self) {
        self.known().checked = Checked::default();
        self.ill.store(false, Ordering::Relaxed);
    }

    /// Takes note of a request that it failed; true where it is left alone from now on, which `may_eject` allows.
    pub fn failed(&self, rules: EjectRules, now_ms: u64, may_eject: impl FnOnce() -> bool) -> bool {
        let mut known = self.known();
        let deserves = known.failures.failed(rules, now_ms);
        self.fails.store(true, Ordering::Relaxed);
        if !deserves || !may_eject() {
            return false;
        }
        let until = known.failures.eject(rules, now_ms);
        self.fails.store(false, Ordering::Relaxed);
        self.out_until.store(until, Ordering::Relaxed);
        self.back_at.store(until, Ordering::Relaxed);
        true
    }

    /// Takes note of a good answer; nothing is to be noted where none was bad.
    pub fn succeeded(&self) {
        if self.fails.load(Ordering::Relaxed) {
            let mut known = self.known();
            known.failures.succeeded();
            self.fails.store(known.failures.any(), Ordering::Relaxed);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Numbers that are written whole: good after a panic elsewhere.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that was chosen for a request.
pub(in crate::gateway) enum Turn<'a> {
    /// There is no other: nothing is counted.
    Only(&'a Arc<Server>),
    Picked(Picked),
}

/// A server that is busy with a request for as long as this lives.
pub(in crate::gateway) struct Picked(Arc<Server>);

impl Picked {
    pub fn new(server: Arc<Server>) -> Self {
        server.life.busy.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.0.life.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// For whoever keeps it beyond the upstream's borrow.
    pub fn into_picked(self) -> Picked {
        match self {
            Self::Only(server) => Picked::new(server.clone()),
            Self::Picked(picked) => picked,
        }
    }
}

impl Deref for Turn<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Only(server) => server,
            Self::Picked(picked) => picked,
        }
    }
}

impl Deref for Picked {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
