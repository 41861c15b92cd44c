//! The servers of an upstream as they are now, and the choice among them.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use crate::config;
use crate::domain::balance::health::may_eject;
use crate::domain::balance::{Candidate, Pick, choose};

use super::names::Addresses;
use super::server::{Life, Server};
use super::{millis, peer};

/// As many servers are chosen from without an allocation.
const USUAL: usize = 8;

/// Servers at their addresses. Never changed: another one takes its place.
pub(super) struct Set {
    pub servers: Box<[Arc<Server>]>,
    /// Of each server of the configuration.
    pub addresses: Addresses,
}

impl Set {
    /// `before`: whoever was there goes on with the life that it has. `came` is when the others did; `None`: from the
    /// start.
    pub fn new(
        plan: &config::Upstream,
        addresses: Addresses,
        before: Option<&Self>,
        came: Option<Instant>,
    ) -> Self {
        let lives = before.map_or(&[][..], |before| &before.servers);
        let mut servers: Vec<Arc<Server>> = Vec::new();
        for (written, addresses) in plan.servers.iter().zip(&addresses) {
            let group = peer::group(plan, written);
            for &address in addresses {
                let same = |server: &&Arc<Server>| peer::is_same(&server.life, address, group);
                let life = lives.iter().find(same).map(|server| server.life.clone());
                let life = life.unwrap_or_else(|| Arc::new(Life::new(address, group, came)));
                servers.push(Arc::new(Server::new(plan, written, life)));
            }
        }
        Self { servers: servers.into(), addresses }
    }

    /// None where there are no servers.
    pub fn choose(
        &self,
        pick: Pick,
        tried: &[std::net::SocketAddr],
        plan: &config::Upstream,
    ) -> Option<&Arc<Server>> {
        if let [only] = &*self.servers {
            return Some(only);
        }
        let now = millis(Instant::now());
        let seen: SmallVec<[Candidate; USUAL]> =
            self.servers.iter().map(|server| server.candidate(tried, now)).collect();
        let slow_start = u64::try_from(plan.slow_start.as_millis()).unwrap_or(u64::MAX);
        choose(pick, &seen, slow_start).map(|at| &self.servers[at])
    }

    /// How many are well.
    pub fn well(&self, now_ms: u64) -> usize {
        self.servers.iter().filter(|server| server.is_well(now_ms)).count()
    }

    /// Whether one more may be left alone for what requests met.
    pub fn may_eject(&self, now_ms: u64) -> bool {
        let out = self.servers.iter().filter(|server| server.life.is_out(now_ms)).count();
        may_eject(self.servers.len(), out)
    }
}
