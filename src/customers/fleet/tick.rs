//! What is told to the fleet from time to time, and what is given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::calls::{Begun, Job};
use super::{DESKS, Leases};
use crate::customers::Customers;
use crate::customers::entry::Entry;
use crate::domain::account::Purpose;
use crate::domain::usage::Now;
use crate::fleet::Fleet;

/// A customer who has been quiet for so long gives back what is not used, and sleeps then.
const QUIET_SECONDS: i64 = 2;
/// Calls that are sent one behind the other, so that those of requests get between.
const A_PART: usize = 256;
/// What is shown of the fleet's use was heard no longer ago; what the others have told may be a tick older.
const FRESH: Duration = Duration::from_millis(500);
/// The longest that whoever is shown it waits.
const SHOWN_WITHIN: Duration = Duration::from_millis(100);

impl Leases {
    /// Tells what has changed since the last time. `keeps_nothing`: and gives back what is not in flight. Answers whether
    /// all of it was heard.
    pub async fn tick(self: &Arc<Self>, keeps_nothing: bool, now: Now) -> bool {
        let jobs = self.entries().iter().filter_map(|entry| self.due(entry, keeps_nothing, now)).collect();
        self.send_in_parts(jobs).await
    }

    /// Gives back everything that is not in flight; when nothing is admitted any more. Answers whether it was heard.
    pub async fn return_all(self: &Arc<Self>, now: Now) -> bool {
        let (mut entries, mut all) = (self.entries(), true);
        while !entries.is_empty() && all {
            (all, entries) = self.call_for(entries, |_| Purpose::Return, |job| job, now).await;
        }
        all
    }

    /// Calls for customers. Answers whether that was heard, and for whom another call was under way: it has ended.
    pub(super) async fn call_for(
        self: &Arc<Self>,
        entries: Vec<Arc<Entry>>,
        purpose: impl Fn(&Entry) -> Purpose<'static>,
        with: impl Fn(Job) -> Job,
        now: Now,
    ) -> (bool, Vec<Arc<Entry>>) {
        let (mut jobs, mut busy) = (Vec::new(), Vec::new());
        for entry in entries {
            let (tell, told) = oneshot::channel();
            match self.begin(&entry, purpose(&entry), now, Some(tell)) {
                Begun::Job(job) => jobs.push(with(job)),
                Begun::UnderWay => busy.push((entry, told)),
                Begun::Nothing => {}
            }
        }
        let all = self.send_in_parts(jobs).await;
        let mut again = Vec::with_capacity(busy.len());
        for (entry, told) in busy {
            // However it ended.
            let _ = told.await;
            again.push(entry);
        }
        (all, again)
    }

    /// What is to be said about a customer now.
    fn due(&self, entry: &Arc<Entry>, keeps_nothing: bool, now: Now) -> Option<Job> {
        let (stirred, quiet) = (entry.account().is_stirred(), entry.is_quiet(QUIET_SECONDS, now));
        let purpose = match (stirred, keeps_nothing || quiet) {
            (_, true) if self.fall_asleep(entry, stirred) => return None,
            (_, true) => Purpose::Return,
            (true, false) => Purpose::Publish,
            (false, false) => return None,
        };
        match self.begin(entry, purpose, now, None) {
            Begun::Job(job) => Some(job),
            Begun::UnderWay | Begun::Nothing => None,
        }
    }

    /// Forgets a customer of whom the fleet knows all, and of whom nothing is held. Answers whether there is nothing to
    /// be said about them.
    fn fall_asleep(&self, entry: &Arc<Entry>, stirred: bool) -> bool {
        let mut desk = self.desk(entry.number);
        let Some(place) = desk.get(&entry.number) else { return true };
        if stirred || !place.returned || place.under_way.is_some() {
            return false;
        }
        let mut account = entry.account();
        if account.is_stirred() || account.has_in_flight() {
            // What is in flight stirs it when it ends.
            return !account.is_stirred();
        }
        if let Some(notes) = account.notes_mut() {
            notes.is_awake = false;
        }
        desk.remove(&entry.number);
        true
    }

    /// Customers of one bucket go together.
    pub(super) async fn send_in_parts(self: &Arc<Self>, mut jobs: Vec<Job>) -> bool {
        jobs.sort_by_cached_key(|job| Fleet::bucket(job.customer()));
        let mut all = true;
        while !jobs.is_empty() {
            let rest = jobs.split_off(A_PART.min(jobs.len()));
            all &= self.send(std::mem::replace(&mut jobs, rest)).await;
        }
        all
    }
}

impl Customers {
    /// Learns what all nodes have used, unless that was heard a moment ago. Where the fleet does not answer soon, what
    /// was heard last has to do.
    pub async fn hear(&self, entry: &Arc<Entry>, now: Now) {
        let Some(leases) = &self.fleet else { return };
        let fresh = u64::try_from(FRESH.as_nanos()).unwrap_or(u64::MAX);
        let heard = entry.account().notes().map(|notes| notes.heard_at);
        if heard.is_none_or(|at| now.nanos().saturating_sub(at.nanos()) < fresh) || !leases.is_linked() {
            return;
        }
        let (tell, told) = oneshot::channel();
        match leases.begin(entry, Purpose::Publish, now, Some(tell)) {
            Begun::Job(job) => leases.enqueue(job),
            Begun::UnderWay => {}
            Begun::Nothing => return,
        }
        // In time or not: what is there is shown.
        let _ = timeout(SHOWN_WITHIN, told).await;
    }
}

const _: () = assert!(DESKS.is_power_of_two());
