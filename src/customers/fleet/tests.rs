//! Leases over a real store and a lender in memory.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::bank::{Bank, Teller};
use super::*;
use crate::customers::entry::Denied;
use crate::customers::tests::{NOW, World, now, route};
use crate::customers::{ReachedLimit, Reservation};
use crate::domain::account::Mark;
use crate::domain::refusal::Refusal;
use crate::domain::route::{Extras, Route};
use crate::domain::tier::Mode;
use crate::domain::units::MeterId;
use crate::fleet::Fleet;
use crate::store::{Batch, TotalKey, TotalUnits};

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
        bank.recalls.lock().expect("whole").push((slot, recall));
        let (holder, began) = (Arc::downgrade(&node), Instant::now());
        tokio::spawn(async move {
            while let (Some(name), Some(node)) = (recalls.recv().await, holder.upgrade()) {
                let at = later(now(), began.elapsed());
                node.world.customers.recalled(&name, at).await.expect("reads");
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
        let period = self.customers.book().fallback.entitlement.windows.at(NOW);
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
    let store = &node.world.store;
    let number = store.customer("blocked".into(), None, NOW).await.expect("a customer").number;
    store.set_block(number, true, "abuse".into(), "test", NOW).await.expect("writes");
    assert_eq!(node.admit("blocked", 1, now()).await.err(), Some(Denied::Refill));
    let entry = node.world.customers.get("blocked").expect("it is there");
    let shadow = Extras { mode: Mode::Shadow, ..Extras::default() };
    let passed = entry.pass_in_shadow(&Route { extras: Some(shadow.into()), ..route(1) }, None, now());
    assert!(passed.is_none(), "nor does shadow let it pass");
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
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bank.of("acme").0, 4);
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
        *node.teller.state.lock().expect("whole") = LinkState::Unknown;
        assert_eq!(node.admit("bolt", 1, now()).await.err(), Some(Denied::Refill), "never heard of it");
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
    let buckets = (0..16).collect();
    let unheard = node.world.customers.put_back(&buckets, later).await.expect("reads");
    assert!(unheard.is_empty(), "all is heard: {unheard:?}");
    assert_eq!((bank.of("awake").1, bank.of("asleep"), bank.of("stored")), (4, (3, 3), (9, 9)));
    assert_eq!(node.leases.awake(), 1, "who sleeps goes on sleeping");
    assert!(node.world.customers.get("stored").is_none());
}

#[tokio::test]
async fn where_one_server_is_away_those_of_the_others_are_served_and_put_back() {
    let bank = Arc::new(Bank::default());
    let node = Node::with(&bank, 1, Options { lease_wait: Duration::from_secs(5), degrades: false });
    let shut = node.gate.clone().acquire_owned().await.expect("open");
    bank.away_for.lock().expect("whole").push("acme".into());
    let mut waiting = JoinSet::new();
    for name in ["acme", "bolt", "crux"] {
        let node = node.clone();
        waiting.spawn(async move { (name, node.charge(name, 1, now()).await) });
    }
    while node.leases.waiting.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    drop(shut);
    let mut charged = waiting.join_all().await;
    charged.sort_unstable();
    assert_eq!(charged, [("acme", false), ("bolt", true), ("crux", true)]);

    node.world.stored("flux", 9).await;
    bank.pools.lock().expect("whole").clear();
    let unheard = node.world.customers.put_back(&(0..16).collect(), now()).await.expect("reads");
    assert_eq!(unheard, [Fleet::bucket("acme")].into());
    assert_eq!((bank.of("bolt").1, bank.of("crux").1, bank.of("flux").1), (1, 1, 9));
}

#[tokio::test]
async fn a_request_waits_for_no_one_elses_turn_in_a_tick() {
    const MANY: usize = 300;
    let bank = Arc::new(Bank::default());
    let node = Node::new(&bank, 1);
    let names: Vec<_> = (0..MANY).map(|number| format!("customer-{number}")).collect();
    for name in &names {
        assert!(node.charge(name, 1, now()).await);
    }
    let (asked, called) = (bank.asked.load(Ordering::SeqCst), bank.customers.load(Ordering::SeqCst));
    let shut = node.gate.clone().acquire_owned().await.expect("open");
    let leases = node.leases.clone();
    let tick = tokio::spawn(async move { leases.tick(false, now()).await });
    while bank.asked.load(Ordering::SeqCst) == asked {
        tokio::task::yield_now().await;
    }
    let told = bank.customers.load(Ordering::SeqCst) - called;
    assert!(told < MANY, "{told} in the first part");
    let last = names.iter().max_by_key(|name| Fleet::bucket(name)).expect("many").clone();
    let asking = {
        let node = node.clone();
        tokio::spawn(async move { node.charge(&last, 90, now()).await })
    };
    while bank.asked.load(Ordering::SeqCst) < asked + 2 {
        assert!(!tick.is_finished() && !asking.is_finished());
        tokio::task::yield_now().await;
    }
    assert_eq!(bank.customers.load(Ordering::SeqCst), called + told + 1, "its own call");
    drop(shut);
    assert!(asking.await.expect("ends") && tick.await.expect("ends"));
}

#[tokio::test]
async fn what_is_in_flight_elsewhere_is_waited_for_and_then_refused() {
    let bank = Arc::new(Bank::default());
    let options = Options { lease_wait: Duration::from_millis(60), degrades: true };
    let [holder, asker] = [1, 2].map(|slot| Node::with(&bank, slot, options));
    let mut held = Vec::new();
    while let Ok(admitted) = holder.admit("acme", 10, now()).await {
        held.push(admitted);
    }
    assert_eq!(held.len(), 10);
    let refused = Denied::Refused(Refusal::QuotaExceeded { meter: MeterId(0) });
    assert_eq!(asker.admit("acme", 1, now()).await.err(), Some(refused));
    drop(held.pop());
    assert!(asker.charge("acme", 10, in_seconds(2)).await, "it has come back");
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
