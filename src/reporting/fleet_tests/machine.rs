//! A machine, and a Stripe. What a machine does may stop anywhere: for ever, when the machine dies, or until it goes on
//! as if nothing had happened.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::store::{Naming, OutboxRow, Outcome, SealPlan, SealScope, Store};
use crate::stripe::{MeterEventAnswer, Secret, Transport, TransportOptions};

use super::super::copy::{Copier, CopierOptions};
use super::super::send::{Sender, is_old, put_back};
use super::super::take_over::TakeOver;
use super::redis::{Connection, Fate, State, Stops, ledger_of, point};

pub const START: i64 = 1_800_000_000;
const TAKE_OVER_AFTER: i64 = 600;
pub const LOST_AFTER: i64 = TAKE_OVER_AFTER + 30;
const REMEMBERED: i64 = 24 * 3600;

/// A Stripe that knows identifiers for a day.
#[derive(Default)]
pub struct Stripe {
    known: HashMap<String, i64>,
    /// All that counts: identifiers with units.
    pub taken: Vec<(String, i64)>,
}

impl Stripe {
    fn take(&mut self, row: &OutboxRow, now: i64) -> MeterEventAnswer {
        if self.known.get(&row.identifier).is_some_and(|at| now - at < REMEMBERED) {
            return MeterEventAnswer::Duplicate;
        }
        self.known.insert(row.identifier.clone(), now);
        self.taken.push((row.identifier.clone(), i64::try_from(row.value).expect("small")));
        MeterEventAnswer::Accepted { answer: "200 accepted".into() }
    }

    /// Of one machine's usage.
    pub fn units(&self, node: usize) -> i64 {
        let prefix = format!("tg-{}-", ledger_of(u32::try_from(node).expect("small")));
        self.taken.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, units)| units).sum()
    }
}

/// Where Stripe's answers go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Fine,
    /// It arrives, and its answer does not.
    Deaf,
    /// Nothing arrives, and nobody knows.
    Lost,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Seal,
    Send,
    Copy,
    TakeOver,
}

pub type Doing = Pin<Box<dyn Future<Output = ()>>>;

pub struct Machine {
    _folder: tempfile::TempDir,
    pub store: Arc<Store>,
    pub connection: Arc<Connection>,
    /// None while it is dead.
    pub copier: Option<Arc<Copier>>,
    sender: Arc<Sender>,
    pub stops: Arc<Mutex<Stops>>,
    /// What it stands still in the middle of.
    pub doing: Option<Doing>,
    pub seen: i64,
    pub line: Arc<Mutex<Line>>,
    pub next_record: u64,
    /// All that was ever used there, and what of it has been sent or copied for certain.
    pub used: i64,
    pub copied: Arc<AtomicI64>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs until it ends or the machine stops; answers whether it has ended.
pub fn drive(doing: &mut Doing, stops: &Mutex<Stops>) -> bool {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(()) = doing.as_mut().poll(&mut context) {
            return true;
        }
        if stops.lock().expect("stops").is_stopped {
            return false;
        }
        thread::park();
    }
}

/// Ends what never stops.
pub fn wait<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    let done = Arc::new(Mutex::new(None));
    let told = done.clone();
    let mut doing: Doing = Box::pin(async move { *told.lock().expect("told") = Some(work.await) });
    assert!(drive(&mut doing, &Mutex::default()));
    done.lock().expect("done").take().expect("an end")
}

fn shelf() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

fn prefix(slot: u32) -> String {
    format!("tg-{}", ledger_of(slot))
}

fn events() -> Vec<(u32, String)> {
    vec![(1, "api_calls".into())]
}

impl Machine {
    pub fn new(slot: u32, redis: &Arc<Mutex<State>>, transport: &Arc<Transport>) -> Self {
        let folder = shelf();
        let store = Arc::new(Store::open(folder.path()).expect("opens"));
        for name in ["a", "b"] {
            let known = store.clone();
            wait(async move { known.customer(name.into(), Some(format!("cus_{name}")), START).await })
                .expect("a customer");
        }
        let stops = Arc::<Mutex<Stops>>::default();
        let connection = Arc::new(Connection {
            slot,
            ledger: ledger_of(slot),
            redis: redis.clone(),
            stops: stops.clone(),
            fate: Mutex::new(Fate::Fine),
            back_at: Mutex::new(0),
        });
        let sender = Arc::new(Sender::new(store.clone(), transport.clone(), prefix(slot), 3_600));
        let mut machine = Self {
            _folder: folder,
            store,
            connection,
            copier: None,
            sender,
            stops,
            doing: None,
            seen: START,
            line: Arc::new(Mutex::new(Line::Fine)),
            next_record: 0,
            used: 0,
            copied: Arc::default(),
        };
        machine.start();
        machine
    }

    pub fn start(&mut self) {
        *self.stops.lock().expect("stops") = Stops::default();
        let options = CopierOptions {
            identifier_prefix: prefix(self.connection.slot),
            event_names: events(),
            take_over_after: Duration::from_secs(TAKE_OVER_AFTER.unsigned_abs()),
        };
        let copies = self.connection.clone();
        self.copier.get_or_insert_with(|| Arc::new(Copier::new(self.store.clone(), copies, options)));
    }

    pub fn is_up(&self) -> bool {
        self.copier.is_some() && self.doing.is_none()
    }

    pub fn is_seen(&self) -> bool {
        self.is_up() && *self.connection.fate.lock().expect("fate") != Fate::Cut
    }

    pub fn work(
        &self,
        work: Work,
        now: i64,
        stripe: &Arc<Mutex<Stripe>>,
        clock: &Arc<Mutex<i64>>,
    ) -> Option<Doing> {
        let copier = self.copier.clone()?;
        let store = self.store.clone();
        Some(match work {
            Work::Seal => {
                let plan = SealPlan {
                    identifier_prefix: prefix(self.connection.slot),
                    naming: Naming::ByTotal,
                    event_names: events(),
                    scope: SealScope::All,
                    now,
                    limit: 100,
                    after: None,
                };
                Box::pin(async move { drop(store.seal(plan).await.expect("seals")) })
            }
            Work::Send => {
                let pass = Pass {
                    store,
                    copier,
                    sender: self.sender.clone(),
                    stops: self.stops.clone(),
                    stripe: stripe.clone(),
                    line: self.line.clone(),
                    clock: clock.clone(),
                };
                Box::pin(pass.run())
            }
            // Away, fenced, waiting: the next one goes on.
            Work::Copy => {
                let (used, copied) = (self.used, self.copied.clone());
                Box::pin(async move {
                    if copier.tick(now).await.is_ok() {
                        copied.store(used, Ordering::Relaxed);
                    }
                })
            }
            Work::TakeOver => {
                let over = TakeOver::new(store, self.connection.clone(), events());
                Box::pin(async move { drop(over.round(now).await) })
            }
        })
    }
}

/// One pass over the outbox, with the machine's line to Stripe.
struct Pass {
    store: Arc<Store>,
    copier: Arc<Copier>,
    sender: Arc<Sender>,
    stops: Arc<Mutex<Stops>>,
    stripe: Arc<Mutex<Stripe>>,
    line: Arc<Mutex<Line>>,
    clock: Arc<Mutex<i64>>,
}

impl Pass {
    async fn run(self) {
        let now = || *self.clock.lock().expect("now");
        let began = now();
        let due = self.store.due(began, 100).await.expect("reads");
        point(&self.stops).await;
        let covered = self.copier.cover(due, began).await.expect("covers");
        point(&self.stops).await;
        let claimed = self.store.claim_these(covered, began).await.expect("claims");
        for row in claimed {
            point(&self.stops).await;
            if is_old(began, now()) {
                let outcome = put_back(&row, now());
                self.store.settle_tries(vec![(row.sequence, outcome)], now()).await.expect("settles");
                continue;
            }
            // As the sender does: a machine that stood still does not send what Stripe has forgotten.
            if row.is_unanswered(now()) {
                continue;
            }
            let line = *self.line.lock().expect("line");
            let lost = MeterEventAnswer::Retry { reason: "no answer".into(), answered: false, arrived: true };
            let answer = match line {
                Line::Lost => lost,
                Line::Fine => self.stripe.lock().expect("stripe").take(&row, now()),
                Line::Deaf => {
                    self.stripe.lock().expect("stripe").take(&row, now());
                    lost
                }
            };
            point(&self.stops).await;
            let mut outcome = self.sender.outcome(&row, answer, now()).await;
            if let Outcome::Retry { at, .. } = &mut outcome {
                *at = now();
            }
            self.store.settle_tries(vec![(row.sequence, outcome)], now()).await.expect("settles");
        }
    }
}

/// For outcomes alone: nothing is ever sent with it.
pub fn transport() -> Arc<Transport> {
    let options = TransportOptions::new("http://127.0.0.1:9", Secret::new("sk_test_x"));
    Arc::new(Transport::new(options).expect("a transport"))
}
