//! Leases over a real store and a lender in memory that does what Redis would.

use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::customers::ReachedLimit;
use crate::customers::Reservation;
use crate::customers::entry::Denied;
use crate::customers::tests::{NOW, World, now, route};
use crate::domain::account::Mark;
use crate::domain::lease::{Ask, Lent, Pool, RateLent, Settled};
use crate::domain::units::MeterId;
use crate::fleet::{Answered, Away, Named};
use crate::store::{Batch, TotalKey, TotalUnits};

/// What all nodes share: claims and use by customer, pool and node.
#[derive(Default)]
struct Bank {
    pools: Mutex<HashMap<(SmolStr, Pool, i64), HashMap<u32, (u64, u64)>>>,
    /// How often it was asked, and for how many.
    asked: AtomicUsize,
    customers: AtomicUsize,
    away: AtomicBool,
    rests: AtomicBool,
    /// Who is asked to give back.
    recalls: Mutex<Vec<mpsc::UnboundedSender<SmolStr>>>,
}

struct Teller {
    bank: Arc<Bank>,
    slot: u32,
    /// Answers go through one by one where it has permits.
    gate: Arc<Semaphore>,
    state: Mutex<LinkState>,
}

impl Bank {
    fn settle(&self, slot: u32, named: &Named) -> Answered {
        let lends = !self.rests.load(Ordering::SeqCst);
        let settle = |ask| self.ask(slot, &named.customer, ask, lends);
        let asks = named.call.asks.iter().map(settle).collect();
        let permits = |left: u32, want: u32| RateLent {
            more: want.saturating_sub(left) + 1_000,
            free: 1_000,
            wait_millis: 0,
        };
        let rates = named.call.rates.iter().map(|ask| permits(ask.left, ask.want)).collect();
        let settled = Settled::Lent { asks, rates, lends };
        Answered { version: named.version, settled, facts: None, others: Box::default() }
    }

    fn ask(&self, slot: u32, customer: &SmolStr, ask: &Ask, lends: bool) -> Lent {
        let mut pools = self.pools.lock().expect("whole");
        let nodes = pools.entry((customer.clone(), ask.pool, ask.window)).or_default();
        let others = || nodes.iter().filter(|(node, _)| **node != slot).map(|(_, claim)| *claim);
        let held: u64 = others().map(|(held, used)| held.max(used)).sum();
        let used: u64 = others().map(|(_, used)| used).sum();
        let free = ask.limit.saturating_sub(held + ask.keep);
        let more = ask
            .want
            .saturating_sub(ask.keep)
            .min((free / 4).max(ask.least.saturating_sub(ask.keep)))
            .min(free);
        let claim = ask.keep + if lends { more } else { 0 };
        if claim < ask.least && held > used {
            for recall in self.recalls.lock().expect("whole").iter() {
                recall.send(customer.clone()).expect("heard");
            }
        }
        nodes.insert(slot, (claim, ask.used));
        let free = ask.limit.saturating_sub(held + claim);
        Lent { held: claim, used_by_all: used + ask.used, free, unused_by_others: held - used }
    }

    /// Of all nodes: claims and use of the included units.
    fn of(&self, customer: &str) -> (u64, u64) {
        let pools = self.pools.lock().expect("whole");
        let of_it =
            pools.iter().filter(|((name, pool, _), _)| name == customer && matches!(pool, Pool::Included(_)));
        of_it
            .flat_map(|(_, nodes)| nodes.values())
            .fold((0, 0), |sum, claim| (sum.0 + claim.0, sum.1 + claim.1))
    }
}

impl Lender for Teller {
    fn settle(&self, calls: Vec<Named>) -> BoxFuture<'_, Result<Vec<Answered>, Away>> {
        Box::pin(async move {
            self.bank.asked.fetch_add(1, Ordering::SeqCst);
            self.bank.customers.fetch_add(calls.len(), Ordering::SeqCst);
            self.gate.acquire().await.expect("open").forget();
            self.gate.add_permits(1);
            if self.bank.away.load(Ordering::SeqCst) {
                return Err(Away);
            }
            Ok(calls.iter().map(|named| self.bank.settle(self.slot, named)).collect())
        })
    }

    fn state(&self) -> LinkState {
        *self.state.lock().expect("whole")
    }

    fn nodes(&self) -> u32 {
        2
    }
}

/// One node.
struct Node {
    world: World,
    leases: Arc<Leases>,
    gate: Arc<Semaphore>,
    teller: Arc<Teller>,
}

impl Node {
    fn new(bank: &Arc<Bank>, slot: u32) -> Arc<Self> {
        Self::with(bank, slot, Options { lease_wait: Duration::from_secs(5), degrades: true })
    }

    fn with(bank: &Arc<Bank>, slot: u32, options: Options) -> Arc<Self> {
        let gate = Arc::new(Semaphore::new(1));
        let state = Mutex::new(LinkState::Here);
        let teller = Arc::new(Teller { bank: bank.clone(), slot, gate: gate.clone(), state });
        let leases = Leases::new(teller.clone(), Arc::default(), options);
        tokio::spawn(leases.clone().run());
        let mut world = World::new();
        world.customers = world.customers.with_fleet(leases.clone());
        let node = Arc::new(Self { world, leases, gate, teller });
        let (recall, mut recalls) = mpsc::unbounded_channel();
        bank.recalls.lock().expect("whole").push(recall);
        let holder = Arc::downgrade(&node);
        tokio::spawn(async move {
            while let (Some(name), Some(node)) = (recalls.recv().await, holder.upgrade()) {
                node.world.customers.recalled(&name, now()).await.expect("reads");
            }
        });
        node
    }

    async fn admit(&self, name: &str, cost: u64, at: Now) -> Result<Reservation, Denied> {
        let entry = self.world.customers.load(name, None, at).await.expect("loads");
        match entry.admit(None, &route(cost), None, at) {
            Err(Denied::Refill) => {
                self.world.customers.admit_with_fleet(&entry, None, &route(cost), None, at).await
            }
            decided => decided,
        }
    }

    async fn charge(&self, name: &str, cost: u64, at: Now) -> bool {
        self.admit(name, cost, at).await.is_ok_and(|mut admitted| admitted.settle(at).is_some())
    }
}

impl World {
    /// Somebody whose use is in the store alone.
    async fn stored(&self, name: &str, included: i64) {
        let customer = self.store.customer(name.into(), None, NOW).await.expect("a customer").number;
        let period = self.customers.fallback.entitlement.windows.at(NOW);
        let key = TotalKey { customer, meter: 1, period_start: period.start };
        let units = TotalUnits { period_end: period.end, included, ..TotalUnits::default() };
        let mut batch = Batch { segment: 1, offset: 100, next_record: 2, ..Batch::default() };
        batch.totals.insert(key, units);
        self.store.fold(batch).expect("folds");
    }
}

fn in_seconds(seconds: u64) -> Now {
    Now(now().nanos() + seconds * 1_000_000_000)
}

#[tokio::test]
async fn all_who_wait_for_a_customer_wait_for_one_call() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    let shut = node.gate.clone().acquire_owned().await.expect("open");
    let mut waiting = JoinSet::new();
    for _ in 0..64 {
        let node = node.clone();
        waiting.spawn(async move { node.charge("acme", 1, now()).await });
    }
    while node.leases.waiting.load(Ordering::SeqCst) < 64 || bank.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bank.customers.load(Ordering::SeqCst), 1);
    drop(shut);
    assert!(waiting.join_all().await.into_iter().all(|charged| charged));
    assert!(bank.of("acme").0 >= 64 && node.leases.waiting.load(Ordering::SeqCst) == 0);
}

#[tokio::test]
async fn who_comes_where_too_many_wait_is_told_at_once() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    node.leases.waiting.store(MOST_WAITING, Ordering::SeqCst);
    assert_eq!(node.admit("acme", 1, now()).await.err(), Some(Denied::Refill));
    assert_eq!(bank.asked.load(Ordering::SeqCst), 0);
    node.leases.waiting.store(MOST_WAITING - 1, Ordering::SeqCst);
    assert!(node.charge("acme", 1, now()).await);
}

#[tokio::test]
async fn two_nodes_use_all_of_a_limit_and_no_more() {
    for cost in [1, 3, 7] {
        let bank = Arc::new(Bank::default());
        let nodes = [Node::new(&bank, 1), Node::new(&bank, 2)];
        let mut tasks = JoinSet::new();
        for task in 0..16 {
            let node = nodes[task % 2].clone();
            tasks.spawn(async move {
                let mut charged = 0;
                while node.charge("acme", cost, now()).await {
                    charged += cost;
                }
                charged
            });
        }
        let charged: u64 = tasks.join_all().await.into_iter().sum();
        assert!(charged <= 100 && charged + cost > 100, "{charged} of 100 at {cost} each");
    }
}

#[tokio::test]
async fn who_is_quiet_gives_back_what_is_not_used_and_sleeps() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    for _ in 0..5 {
        assert!(node.charge("acme", 1, now()).await);
    }
    assert!(node.leases.tick(false, now()).await);
    assert_eq!(bank.of("acme").1, 5, "what was used has been told");
    let asked = bank.asked.load(Ordering::SeqCst);
    assert!(node.leases.tick(false, now()).await);
    assert_eq!(bank.asked.load(Ordering::SeqCst), asked, "nothing has changed");
    assert_eq!(node.leases.awake(), 1);
    let later = in_seconds(3);
    for _ in 0..2 {
        assert!(node.leases.tick(false, later).await);
    }
    assert_eq!((bank.of("acme"), node.leases.awake()), ((5, 5), 0));
    assert!(node.charge("acme", 1, later).await, "it is woken");
}

#[tokio::test]
async fn what_is_in_flight_is_kept_and_told_when_it_ends() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    let mut admitted = node.admit("acme", 7, now()).await.expect("fits");
    for _ in 0..3 {
        assert!(node.leases.tick(false, in_seconds(3)).await);
    }
    assert_eq!((bank.of("acme"), node.leases.awake()), ((7, 0), 1));
    admitted.settle(in_seconds(4)).expect("charges");
    for _ in 0..3 {
        assert!(node.leases.tick(false, in_seconds(9)).await);
    }
    assert_eq!((bank.of("acme"), node.leases.awake()), ((7, 7), 0));
}

#[tokio::test]
async fn a_drained_node_holds_nothing_but_what_it_used() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    for name in ["acme", "bolt", "core"] {
        for _ in 0..4 {
            assert!(node.charge(name, 2, now()).await);
        }
    }
    assert!(node.leases.return_all(now()).await);
    for name in ["acme", "bolt", "core"] {
        assert_eq!(bank.of(name), (8, 8));
    }
}

#[tokio::test]
async fn a_recall_brings_back_what_is_not_in_flight() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    assert!(node.charge("acme", 1, now()).await);
    let _in_flight = node.admit("acme", 3, now()).await.expect("fits");
    node.world.customers.recalled("acme", now()).await.expect("reads");
    while bank.of("acme").0 != 4 {
        tokio::task::yield_now().await;
    }
    node.world.customers.recalled("nobody", now()).await.expect("reads");
    assert!(node.world.customers.get("nobody").is_none(), "nobody is made by being recalled");
}

#[tokio::test]
async fn whoever_goes_while_waiting_leaves_nothing_behind() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    let shut = node.gate.clone().acquire_owned().await.expect("open");
    let gone = node.clone();
    let task = tokio::spawn(async move { gone.charge("acme", 1, now()).await });
    while bank.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.is_err());
    drop(shut);
    assert!(node.charge("acme", 1, now()).await);
    assert_eq!(node.leases.waiting.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_redis_a_node_gives_an_allowance_or_nothing() {
    for degrades in [true, false] {
        let bank = Arc::new(Bank::default());
        let options = Options { lease_wait: Duration::from_millis(50), degrades };
        let node = Node::with(&bank, 1, options);
        assert!(node.charge("acme", 1, now()).await);
        *node.teller.state.lock().expect("whole") = LinkState::Away;
        let mut charged = 1;
        while node.charge("acme", 1, now()).await {
            charged += 1;
        }
        let held = bank.of("acme").0;
        // Of 100 units, shared by two.
        let most = if degrades { held + (100 - held).div_ceil(2) } else { held };
        assert_eq!(charged, most, "degrades: {degrades}");
        assert_eq!(node.admit("acme", 1, now()).await.err(), Some(Denied::Refill));
    }
}

#[tokio::test]
async fn what_redis_lost_is_put_back_from_memory_and_from_the_store() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    for _ in 0..3 {
        assert!(node.charge("awake", 1, now()).await && node.charge("asleep", 1, now()).await);
    }
    let later = in_seconds(3);
    for _ in 0..3 {
        node.leases.tick(false, later).await;
    }
    assert!(node.charge("awake", 1, later).await);
    node.world.stored("stored", 9).await;
    bank.pools.lock().expect("whole").clear();
    bank.rests.store(true, Ordering::SeqCst);
    let buckets: Vec<u8> = (0..16).collect();
    node.world.customers.put_back(&buckets, later).await.expect("is heard");
    assert_eq!((bank.of("awake").1, bank.of("asleep"), bank.of("stored")), (4, (3, 3), (9, 9)));
    assert_eq!(node.leases.awake(), 1, "who sleeps goes on sleeping");
    assert!(node.world.customers.get("stored").is_none());
}

#[tokio::test]
async fn while_nothing_is_lent_a_request_waits_for_no_longer_than_it_may() {
    let bank = Arc::new(Bank::default());
    bank.rests.store(true, Ordering::SeqCst);
    let node = Node::with(&bank, 1, Options { lease_wait: Duration::from_millis(200), degrades: false });
    assert_eq!(node.admit("acme", 1, now()).await.err(), Some(Denied::Refill));
    bank.rests.store(false, Ordering::SeqCst);
    assert!(node.charge("acme", 1, in_seconds(1)).await);
}

#[tokio::test]
async fn what_is_shown_is_the_sum_of_all_nodes_a_second_old_at_most() {
    let bank = Arc::new(Bank::default());
    let [ours, other] = [Node::new(&bank, 1), Node::new(&bank, 2)];
    assert!(ours.charge("acme", 5, now()).await && other.charge("acme", 7, now()).await);
    assert!(other.leases.tick(false, now()).await);
    let later = in_seconds(2);
    let entry = ours.world.customers.get("acme").expect("it is there");
    entry.account().notes_mut().expect("shared").heard_at = now();
    ours.world.customers.hear(&entry, later).await;
    assert_eq!(ours.world.customers.snapshot(&entry, later).usage[0].current, 12);
    assert_eq!(ours.world.customers.snapshot(&entry, later).usage[0].counted, 12);
}

#[tokio::test]
async fn a_mark_that_all_nodes_reach_together_is_told() {
    let bank = Arc::new(Bank::default());
    let [ours, other] = [Node::new(&bank, 1), Node::new(&bank, 2)];
    let (tell, mut reached) = mpsc::unbounded_channel();
    ours.leases.told.set(tell).expect("nobody is told yet");
    assert!(ours.charge("acme", 30, now()).await && other.charge("acme", 30, now()).await);
    assert!(other.leases.tick(false, now()).await && ours.leases.tick(false, now()).await);
    let entry = ours.world.customers.get("acme").expect("it is there");
    let told = reached.try_recv().expect("a mark");
    assert_eq!(
        (told.limit, told.customer),
        (ReachedLimit::Share(Mark { meter: MeterId(0), share: 50, included: 100 }), entry.number)
    );
    assert!(reached.try_recv().is_err(), "once");
}

#[tokio::test]
async fn a_customer_seen_once_costs_one_call() {
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    let charged = AtomicU64::new(0);
    for number in 0..50 {
        assert!(node.charge(&format!("customer-{number}"), 1, now()).await);
        charged.fetch_add(1, Ordering::SeqCst);
    }
    assert_eq!(bank.customers.load(Ordering::SeqCst), 50);
}
