//! What is told to the fleet from time to time, and what is given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::calls::{Begun, Job, Unheard};
use super::{DESKS, Leases, later};
use crate::customers::Customers;
use crate::customers::entry::Entry;
use crate::domain::account::Purpose;
use crate::domain::usage::Now;
use crate::fleet::Fleet;

/// A customer who has been quiet for so long gives back what is not used, and sleeps then.
const QUIET_SECONDS: i64 = 2;
/// Calls that are made and sent together. Whoever comes later is not called for yet, so that a request of theirs waits
/// for nothing but its own call.
const A_PART: usize = 256;
/// What is shown of the fleet's use was heard no longer ago; what the others have told may be a tick older.
const FRESH: Duration = Duration::from_millis(500);
/// The longest that whoever is shown it waits.
const SHOWN_WITHIN: Duration = Duration::from_millis(100);

impl Leases {
    /// Tells what has changed since the last time. `keeps_nothing`: and gives back what is not in flight. Answers whether
    /// all of it was heard.
    pub async fn tick(self: &Arc<Self>, keeps_nothing: bool, now: Now) -> bool {
        let (begun, entries) = (Instant::now(), by_bucket(self.entries()));
        let due = |entry| self.due(entry, keeps_nothing, later(now, begun.elapsed()));
        let (mut entries, mut all) = (entries.iter(), true);
        loop {
            let jobs: Vec<_> = entries.by_ref().filter_map(due).take(A_PART).collect();
            if jobs.is_empty() {
                return all;
            }
            all &= self.send(jobs).await.is_empty();
        }
    }

    /// Gives back everything that is not in flight; when nothing is admitted any more. Answers whether it was heard.
    pub async fn return_all(self: &Arc<Self>, now: Now) -> bool {
        let (mut entries, mut all) = (self.entries(), true);
        while !entries.is_empty() && all {
            let unheard;
            (unheard, entries) = self.call_for(entries, |_| Purpose::Return, |job| job, now).await;
            all = unheard.is_empty();
        }
        all
    }

    /// Calls for customers. Answers what was not heard, and for whom another call was under way: it has ended.
    pub(super) async fn call_for(
        self: &Arc<Self>,
        entries: Vec<Arc<Entry>>,
        purpose: impl Fn(&Entry) -> Purpose<'static>,
        with: impl Fn(Job) -> Job,
        now: Now,
    ) -> (Unheard, Vec<Arc<Entry>>) {
        let begun = Instant::now();
        let mut busy = Vec::new();
        let call = |entry: Arc<Entry>| {
            let (tell, told) = oneshot::channel();
            match self.begin(&entry, purpose(&entry), later(now, begun.elapsed()), Some(tell)) {
                Begun::Job(job) => return Some(with(job)),
                Begun::UnderWay => busy.push((entry, told)),
                Begun::Nothing => {}
            }
            None
        };
        let mut jobs = by_bucket(entries).into_iter().filter_map(call);
        let mut unheard = Unheard::new();
        loop {
            let part: Vec<_> = jobs.by_ref().take(A_PART).collect();
            if part.is_empty() {
                break;
            }
            unheard.append(&mut self.send(part).await);
        }
        drop(jobs);
        let mut again = Vec::with_capacity(busy.len());
        for (entry, told) in busy {
            // However it ended.
            let _ = told.await;
            again.push(entry);
        }
        (unheard, again)
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
}

/// Those of one bucket go together.
fn by_bucket(mut entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    entries.sort_by_cached_key(|entry| Fleet::bucket(&entry.name));
    entries
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
