//! A request that its node's claims do not cover.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::calls::{Begun, Outcome};
use super::{Leases, later};
use crate::customers::Customers;
use crate::customers::entry::{Denied, Entry};
use crate::customers::reservation::Reservation;
use crate::domain::account::{By, ByMember, Purpose};
use crate::domain::route::Route;
use crate::domain::units::Cost;
use crate::domain::usage::Now;
use crate::fleet::LinkState;

/// Where there is nothing to ask for and yet too little: not at once again.
const A_MOMENT: Duration = Duration::from_millis(1);

impl Customers {
    /// [`Entry::admit`] after it has answered [`Denied::Refill`]: asks the fleet, as often as it helps, for as long as a
    /// request may wait. [`Denied::Refill`] again: the fleet cannot be asked, or nothing is lent now.
    pub async fn admit_with_fleet(
        &self,
        entry: &Arc<Entry>,
        claimed: Option<&str>,
        route: &Route,
        by: impl Into<By>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let by = by.into();
        self.obtain(entry, Purpose::Request(route), now, |at| entry.admit(claimed, route, by, at)).await
    }

    /// [`Entry::extend`] after it has answered [`Denied::Refill`], in the same way.
    pub async fn extend_with_fleet(
        &self,
        entry: &Arc<Entry>,
        cost: &Cost,
        member: Option<ByMember>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        self.obtain(entry, Purpose::More(cost), now, |at| entry.extend(cost, member, at)).await
    }

    /// Tries again what was short of something, each time that the fleet has been asked.
    pub(in crate::customers) async fn obtain<T>(
        &self,
        entry: &Arc<Entry>,
        purpose: Purpose<'_>,
        now: Now,
        attempt: impl Fn(Now) -> Result<T, Denied>,
    ) -> Result<T, Denied> {
        let Some(leases) = &self.fleet else { return Err(Denied::Refill) };
        let Some(_room) = leases.room() else { return Err(Denied::Refill) };
        let begun = Instant::now();
        let mut last = Outcome::Away;
        loop {
            let left = leases.options.lease_wait.saturating_sub(begun.elapsed());
            let waited = timeout(left, leases.ask(entry, purpose, later(now, begun.elapsed()))).await;
            let at = later(now, begun.elapsed());
            match waited {
                Ok(Outcome::Away) => leases.go_without(entry, at),
                Ok(outcome) => last = outcome,
                // There may be some elsewhere that do not come back in time.
                Err(_) if matches!(last, Outcome::Settled | Outcome::Short) => {
                    entry.account().give_up(purpose, at);
                }
                Err(_) => leases.go_without(entry, at),
            }
            match attempt(at) {
                Err(Denied::Refill) if waited.is_ok_and(|outcome| outcome != Outcome::Away) => {}
                decided => return decided,
            }
        }
    }
}

impl Leases {
    /// Asks once for what a request needs, with all who ask for the same customer.
    async fn ask(&self, entry: &Arc<Entry>, purpose: Purpose<'_>, now: Now) -> Outcome {
        let ask_at = entry.account().notes().map_or(now, |notes| notes.ask_at);
        let wait = Duration::from_nanos(ask_at.nanos().saturating_sub(now.nanos()));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if !self.is_linked() {
            return Outcome::Away;
        }
        let (tell, told) = oneshot::channel();
        match self.begin(entry, purpose, later(now, wait), Some(tell)) {
            Begun::Job(job) => self.enqueue(job),
            Begun::UnderWay => {}
            Begun::Nothing => {
                tokio::time::sleep(A_MOMENT).await;
                return Outcome::Anew;
            }
        }
        told.await.unwrap_or(Outcome::Away)
    }

    /// Without the fleet: a bounded allowance, or nothing. What costs nothing is admitted either way.
    fn go_without(&self, entry: &Arc<Entry>, now: Now) {
        self.stir(entry);
        // Whoever never heard of the fleet does not know what there is: a node that starts again and again would allow
        // as much each time.
        if !self.options.degrades || self.lender.state() == LinkState::Unknown {
            return;
        }
        let mut account = entry.account();
        let tier = account.terms().entitlement.tier_at(now.seconds());
        let allowance = tier.map_or(0, |tier| tier.degraded_allowance);
        // Whether there is any shows when it is asked for.
        account.allow(self.lender.nodes(), allowance, now);
    }
}
