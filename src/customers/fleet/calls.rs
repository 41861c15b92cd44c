//! Calls: made under a customer's lock, sent together, and taken in whoever waits for them.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{Leases, later, place};
use crate::customers::entry::Entry;
use crate::customers::reached::tell_marks;
use crate::domain::account::{Account, Purpose};
use crate::domain::lease::{Call, Settled};
use crate::domain::usage::Now;
use crate::fleet::{Answered, Fleet, Named, Unsettled, Version};

/// Calls that go to Redis together.
const TOGETHER: usize = 64;
/// So many lots of these are under way at once; what comes meanwhile goes together.
const LOTS: usize = 4;
/// Whoever fell short asks again after this, and after twice as long each time.
const FIRST_PATIENCE_MILLIS: u16 = 2;
const LONGEST_PATIENCE_MILLIS: u16 = 32;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was asked for is here, or there is none.
    Settled,
    /// Others hold some that they have not used, and have been asked for it.
    Short,
    /// Nothing is lent to anybody for a while.
    Resting,
    /// Ask anew: other terms are in force, or it was overtaken.
    Anew,
    Away,
}

/// Buckets that did not answer some call: none, where all was heard.
pub(super) type Unheard = BTreeSet<u8>;

/// A call that has been made and must be sent.
pub(super) struct Job {
    entry: Arc<Entry>,
    call: Call,
    made: Instant,
    version: Version,
    lots: SmallVec<[(i64, u32); 1]>,
    others: Box<str>,
    for_request: bool,
    gives_back: bool,
}

/// What came of wanting a call.
#[expect(clippy::large_enum_variant, reason = "it goes from hand to hand once")]
pub(super) enum Begun {
    Job(Job),
    /// One is under way, and waited for.
    UnderWay,
    /// There is nothing to say.
    Nothing,
}

impl Leases {
    /// Sends what is asked for, for ever.
    pub async fn run(self: Arc<Self>) {
        let taken = self.made.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut made) = taken else { return };
        let mut sent = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(job) = made.recv(), if sent.len() < LOTS => {
                    let mut jobs = vec![job];
                    while let Some(job) = (jobs.len() < TOGETHER).then(|| made.try_recv().ok()).flatten() {
                        jobs.push(job);
                    }
                    sent.push(self.send(jobs));
                }
                Some(_) = sent.next(), if !sent.is_empty() => {}
            }
        }
    }

    /// Makes a call for a customer unless one is under way. `waiting` hears of either.
    pub(super) fn begin(
        &self,
        entry: &Arc<Entry>,
        purpose: Purpose<'_>,
        now: Now,
        waiting: Option<oneshot::Sender<Outcome>>,
    ) -> Begun {
        let mut desk = self.desk(entry.number);
        let place = place(&mut desk, entry);
        if let Some(others) = &mut place.under_way {
            others.extend(waiting);
            return Begun::UnderWay;
        }
        let mut account = entry.account();
        let gives_back = matches!(purpose, Purpose::Return);
        if let Some(notes) = account.notes_mut()
            && !gives_back
        {
            notes.is_awake = true;
        }
        let mut call = account.call(purpose, now);
        if let Some(call) = &mut call {
            call.wants_others = !gives_back;
        }
        let is_awake = account.notes().is_some_and(|notes| notes.is_awake);
        let Some(call) = call else {
            if !is_awake {
                desk.remove(&entry.number);
            }
            return Begun::Nothing;
        };
        place.under_way = Some(waiting.into_iter().collect());
        place.returned = false;
        let for_request = matches!(purpose, Purpose::Request(_) | Purpose::More(_) | Purpose::Credits(_));
        Begun::Job(Job { for_request, gives_back, ..Job::new(entry.clone(), call, &account) })
    }

    /// Hands a job to [`Leases::run`].
    pub(super) fn enqueue(&self, job: Job) {
        // Nobody takes it up only while everything is being shut down: whoever waits is told by what is dropped.
        let _ = self.jobs.send(job);
    }

    /// Sends calls, and takes their answers in.
    pub(super) async fn send(self: &Arc<Self>, jobs: Vec<Job>) -> Unheard {
        let mut unheard = Unheard::new();
        if jobs.is_empty() {
            return unheard;
        }
        let calls = jobs.iter().map(|job| self.named(job)).collect();
        let answers = self.lender.settle(calls).await;
        for (job, answer) in jobs.into_iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    self.learn_and_finish(job, answer);
                    continue;
                }
                // Nobody is lent anything of it: nothing need be put back there.
                Err(Unsettled::Unreadable) => {}
                Err(Unsettled::Away) => drop(unheard.insert(Fleet::bucket(&job.entry.name))),
            }
            self.finish(&job, None);
        }
        unheard
    }

    fn learn_and_finish(self: &Arc<Self>, job: Job, mut answer: Answered) {
        match (answer.facts.take(), self.learner.get()) {
            (Some(facts), Some(learner)) => {
                let (leases, learner) = (self.clone(), learner.clone());
                tokio::spawn(async move {
                    learner.take_in(job.entry.name.clone(), answer.version, facts).await;
                    leases.finish(&job, Some(&answer));
                });
            }
            _ => self.finish(&job, Some(&answer)),
        }
    }

    fn named(&self, job: &Job) -> Named {
        Named {
            customer: job.entry.name.clone(),
            version: job.version,
            call: job.call.clone(),
            words: self.words.now(),
            lots: job.lots.clone(),
            others: job.others.clone(),
        }
    }

    fn finish(&self, job: &Job, answer: Option<&Answered>) {
        let now = later(job.call.sent, job.made.elapsed());
        let outcome = take_in(job, answer, self.lender.nodes(), now);
        if let Some(told) = self.told.get()
            && job.entry.account().has_reached()
        {
            tell_marks(told, &job.entry, now);
        }
        if let (Some(answer), Some(learner)) = (answer, self.learner.get())
            && answer.version < job.version
        {
            learner.put(job.entry.name.clone());
        }
        let mut desk = self.desk(job.entry.number);
        // An account that nobody else saw has no place; somebody of its name may.
        let place = desk.get_mut(&job.entry.number).filter(|place| Arc::ptr_eq(&place.entry, &job.entry));
        let Some(place) = place else { return };
        let waiting = place.under_way.take().unwrap_or_default();
        place.returned = job.gives_back && outcome == Outcome::Settled;
        if job.entry.account().notes().is_none_or(|notes| !notes.is_awake) {
            desk.remove(&job.entry.number);
        }
        drop(desk);
        for waiting in waiting {
            // Whoever has gone meanwhile needs no answer.
            let _ = waiting.send(outcome);
        }
    }
}

impl Job {
    fn new(entry: Arc<Entry>, call: Call, account: &Account) -> Self {
        let notes = account.notes();
        Self {
            entry,
            call,
            made: Instant::now(),
            version: notes.map_or(Version::NONE, |notes| Version(notes.version)),
            lots: notes.map(|notes| notes.lots.clone()).unwrap_or_default(),
            others: Box::default(),
            for_request: false,
            gives_back: false,
        }
    }

    /// With what was last seen of other nodes, for a Redis that has lost it.
    pub(super) fn with_others(mut self) -> Self {
        self.others = self.entry.account().notes().map(|notes| notes.others.clone()).unwrap_or_default();
        self
    }

    /// For an account that nobody else sees.
    pub(super) fn alone(entry: &Arc<Entry>, now: Now) -> Option<Self> {
        let mut account = entry.account();
        let call = account.call(Purpose::Return, now)?;
        let job = Self::new(entry.clone(), call, &account);
        drop(account);
        Some(job)
    }
}

/// Puts an answer into force.
fn take_in(job: &Job, answer: Option<&Answered>, nodes: u32, now: Now) -> Outcome {
    let mut account = job.entry.account();
    let Some(answer) = answer else {
        account.call_failed(&job.call);
        return Outcome::Away;
    };
    account.take(&job.call, &answer.settled, now);
    let is_short = answer.settled == Settled::Behind || is_short(&job.call, &answer.settled);
    if let Some(notes) = account.notes_mut() {
        (notes.heard_at, notes.nodes) = (now, nodes);
        if job.call.wants_others {
            notes.others.clone_from(&answer.others);
        }
        if job.for_request {
            let longer = (notes.patience_millis * 2).clamp(FIRST_PATIENCE_MILLIS, LONGEST_PATIENCE_MILLIS);
            notes.patience_millis = if is_short { longer } else { 0 };
            notes.ask_at = later(now, Duration::from_millis(notes.patience_millis.into()));
        }
    }
    match &answer.settled {
        Settled::Old | Settled::Behind => Outcome::Anew,
        Settled::Lent { lends: false, .. } => Outcome::Resting,
        Settled::Lent { .. } if is_short => Outcome::Short,
        Settled::Lent { .. } => Outcome::Settled,
    }
}

/// Whether less came than a request needs.
fn is_short(call: &Call, settled: &Settled) -> bool {
    let Settled::Lent { asks, rates, .. } = settled else { return false };
    let units = call.asks.iter().zip(asks).any(|(ask, lent)| lent.held < ask.least);
    let permits =
        call.rates.iter().zip(rates).any(|(ask, lent)| ask.left.saturating_add(lent.more) < ask.least);
    units || permits
}
