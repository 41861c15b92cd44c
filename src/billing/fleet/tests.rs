//! Nodes with stores of their own, that meet in a Redis in memory which loses, delays and forgets.

mod meeting;
mod once;
mod returning;

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use tokio::sync::mpsc;

use meeting::{Dice, Lying, Redis, Visitor};

use super::*;
use crate::billing::apply::as_read;
use crate::domain::catalogue::Report;
use crate::domain::idempotency::Limits;
use crate::domain::money::Currency;
use crate::domain::route::RouteTable;
use crate::domain::subscription::{Facts as Subscribed, ItemFacts, Status};
use crate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price, Tier, TierId};
use crate::domain::units::Meter;
use crate::live::Live;
use crate::store::{CreditAct, CreditGrant, NewLink, OverrideRow};

fn catalogue() -> Arc<Catalogue> {
    let tier = |index: u16, name: &str| {
        Arc::new(Tier {
            id: TierId(index),
            name: name.into(),
            price: Price::default(),
            stripe_prices: vec![format!("price_{name}")],
            included: vec![Allowance::Units(100)],
            overage: Overage::Deny,
            rate: None,
            features: FeatureSet::default(),
            limits: Vec::new(),
            trial_days: None,
            credits_per_cycle: 0,
            credits_expire: None,
            degraded_allowance: 100,
            mode: Mode::Enforce,
            member: None,
        })
    };
    Arc::new(Catalogue {
        currency: Currency::parse("usd").expect("a currency"),
        meters: vec![Meter { name: "api_calls".into(), stripe_event_name: "api_calls".into() }].into(),
        tiers: vec![tier(0, "free"), tier(1, "pro")].into(),
        default_tier: Some(TierId(0)),
        anonymous_tier: None,
        features: Vec::new(),
        scopes: vec![],
        routes: RouteTable::default(),
        report: Report::All,
        past_due_grace: 1_000,
        credit_packs: Vec::new(),
        silence_grace: i64::MAX,
    })
}

fn live() -> Arc<Live<Catalogue>> {
    Arc::new(Live::new(catalogue()))
}

struct Node {
    facts: Facts,
    /// How far its clock is off, in seconds.
    skew: i64,
    _folder: tempfile::TempDir,
}

/// What is known of all, whatever it is called.
type Known = Vec<(String, String)>;

impl Node {
    fn new(redis: &Arc<Mutex<Redis>>, slot: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path()).expect("opens"));
        let (ask, _) = mpsc::unbounded_channel();
        let limits = Limits { keys: 1, repeats: 1 };
        let customers = Arc::new(Customers::new(live().now(), store.clone(), vec![1], limits, ask));
        let visitor = Arc::new(Visitor { redis: redis.clone(), slot });
        let facts = Facts::new(visitor, store, customers, live(), Arc::default());
        redis.lock().expect("whole").hints.push(VecDeque::new());
        Self { facts, skew: i64::try_from(slot).expect("small"), _folder: folder }
    }

    fn store(&self) -> &Store {
        &self.facts.store
    }

    async fn number(&self, name: &str, now: i64) -> u32 {
        self.store().customer(name.to_owned(), None, now).await.expect("a customer").number
    }

    async fn read(&self, id: &str, stripe_customer: &str, status: Status, version: u64, now: i64) {
        let read = as_read(subscription(id, stripe_customer, status), version, &catalogue(), now);
        self.store().upsert_subscription(read, now).await.expect("stores");
    }

    /// Something happens here.
    async fn act(&self, dice: &mut Dice, now: i64) {
        let name = ["a", "b"][usize::try_from(dice.below(2)).expect("small")];
        let number = self.number(name, now).await;
        let (store, coin) = (self.store(), dice.one_in(2));
        let pick = dice.below(3);
        match dice.below(6) {
            0 => {
                _ = store
                    .set_block(number, coin, format!("why {pick}"), "operator", now)
                    .await
                    .expect("sets");
            }
            1 => {
                let row =
                    OverrideRow { tier: Some("pro".into()), reason: format!("{pick}"), ..Default::default() };
                store.set_override(number, coin.then_some(row), "operator", now).await.expect("sets");
            }
            2 => grant(store, number, &format!("invoice:in_{name}{pick}"), now).await,
            3 => {
                let link = NewLink { customer: name.into(), stripe_customer: format!("cus_{pick}") };
                store.link(link, now).await.expect("links");
            }
            4 if coin => {
                let claim = Some(format!("cus_{pick}"));
                store.customer(name.into(), claim, now).await.expect("links");
            }
            _ => {
                let statuses = [Status::Active, Status::PastDue, Status::Canceled];
                let status = statuses[usize::try_from(dice.below(3)).expect("small")];
                let at = u64::try_from(now).expect("late") * 1_000_000 + dice.below(1_000_000);
                self.read(&format!("sub_{pick}"), &format!("cus_{pick}"), status, at, now).await;
            }
        }
    }

    async fn known(&self) -> Known {
        let store = self.store();
        let mut known = Vec::new();
        for name in ["a", "b"] {
            let Some(row) = store.find_customer(name.into()).await.expect("reads") else { continue };
            let set = store.adjustments(row.number).await.expect("reads");
            known.push((name.to_owned(), format!("{:?} {set:?}", row.stripe_customer)));
            let mut history = store.credit_history(row.number, None, 100).await.expect("reads");
            history.sort_by_key(|row| row.cause.clone());
            let grant =
                |row: crate::store::CreditRow| (name.to_owned(), format!("{:?} {}", row.cause, row.units));
            known.extend(history.into_iter().map(grant));
        }
        for id in ["cus_0", "cus_1", "cus_2"] {
            for facts in store.subscriptions_of(id.into()).await.expect("reads") {
                let facts = Subscribed { read_at: None, ..facts };
                known.push((id.to_owned(), format!("{facts:?}")));
            }
        }
        known
    }
}

async fn grant(store: &Store, customer: u32, cause: &str, now: i64) {
    let act = CreditAct { cause: cause.into(), reason: "a pack".into(), actor: "stripe" };
    let grant = CreditGrant { customer, units: 10, expires_at: Some(now + 9_000_000), act };
    store.grant_credits(grant, now).await.expect("grants");
}

fn subscription(id: &str, stripe_customer: &str, status: Status) -> Subscribed {
    let item = ItemFacts {
        id: "si_1".into(),
        price: "price_pro".into(),
        lookup_key: None,
        metered: false,
        interval: "month".into(),
        interval_count: 1,
        period_start: *NOW - 1_000,
        period_end: *NOW + 2_000_000,
        unit_amount: None,
        quantity: None,
    };
    Subscribed {
        id: id.into(),
        stripe_customer: stripe_customer.into(),
        status,
        items: vec![item],
        billing_cycle_anchor: *NOW,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: None,
        trial_start: None,
        trial_end: None,
        currency: None,
        read_at: None,
    }
}

/// Near the present: what is old is let go.
static NOW: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| clock::now().seconds());

async fn world(nodes: usize, seed: u64) -> (Arc<Mutex<Redis>>, Vec<Node>) {
    let redis = Arc::new(Mutex::new(Redis {
        lying: Lying::default(),
        last: 0,
        hints: Vec::new(),
        claims: HashMap::new(),
        lost_nodes: Vec::new(),
        reports: Vec::new(),
        losses: 0,
        puts_are_lost: false,
        dice: Dice(seed),
    }));
    let nodes: Vec<_> = (0..nodes).map(|slot| Node::new(&redis, slot)).collect();
    for node in &nodes {
        node.facts.gather().await.expect("gathers");
    }
    (redis, nodes)
}

/// Whatever was lost before: from now on nothing is.
async fn settle(nodes: &[Node]) {
    for _ in 0..8 {
        for node in nodes {
            node.facts.put_all().await.expect("puts");
            node.facts.read_news().await.expect("reads");
        }
    }
}

async fn step(nodes: &[Node], redis: &Arc<Mutex<Redis>>, dice: &mut Dice, kept: &mut Lying, now: i64) {
    let node = &nodes[usize::try_from(dice.below(nodes.len() as u64)).expect("small")];
    match dice.below(16) {
        // What fails here is tried again.
        0..4 => _ = node.facts.put_all().await,
        4..6 => _ = node.facts.read_news().await,
        6..8 => {
            let slot = usize::try_from(dice.below(nodes.len() as u64)).expect("small");
            let hint = {
                let hints = &mut redis.lock().expect("whole").hints[slot];
                // Lost, late, twice.
                if dice.one_in(3) { hints.pop_front() } else { hints.get(hints.len() / 2).cloned() }
            };
            _ = nodes[slot].facts.fetch(hint.into_iter().collect()).await;
        }
        8 if dice.one_in(4) => {
            let mut redis = redis.lock().expect("whole");
            match dice.below(4) {
                0 => redis.lying = Lying::default(),
                1 => {
                    let half = redis.lying.news.len() / 2;
                    redis.lying.news.drain(..half);
                }
                2 => *kept = redis.lying.clone(),
                _ => redis.lying = kept.clone(),
            }
        }
        _ => node.act(dice, now + node.skew).await,
    }
}

#[tokio::test]
async fn all_nodes_come_to_know_the_same_whatever_is_lost_doubled_or_late() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    for seed in 0..seeds {
        let (redis, nodes) = world(3, seed).await;
        redis.lock().expect("whole").losses = 6;
        let (mut dice, mut kept) = (Dice(seed * 7 + 1), Lying::default());
        for at in 0..70 {
            step(&nodes, &redis, &mut dice, &mut kept, *NOW + at / 2).await;
        }
        redis.lock().expect("whole").losses = 0;
        for node in &nodes {
            node.facts.compare_all().await.expect("compares");
        }
        settle(&nodes).await;
        let first = nodes[0].known().await;
        assert!(first.len() > 2, "seed {seed}: something has happened");
        for node in &nodes {
            assert_eq!(node.known().await, first, "seed {seed}");
            assert_eq!(node.store().facts_to_put(None, 9).await.expect("reads"), [], "seed {seed}");
            let mut causes: Vec<_> = first.iter().filter(|(_, what)| what.contains("invoice:")).collect();
            causes.dedup();
            let all = first.iter().filter(|(_, what)| what.contains("invoice:")).count();
            assert_eq!(causes.len(), all, "seed {seed}: a cause is granted once");
        }
    }
}

#[tokio::test]
async fn a_new_node_and_an_emptied_redis_learn_all_that_is_known() {
    let (redis, mut nodes) = world(1, 0).await;
    let now = *NOW;
    nodes[0].store().customer("a".into(), Some("cus_1".into()), now).await.expect("links");
    nodes[0].read("sub_1", "cus_1", Status::Active, 7, now).await;
    nodes[0].read("sub_2", "cus_2", Status::Active, 8, now).await;
    let number = nodes[0].number("a", now).await;
    grant(nodes[0].store(), number, "invoice:in_1", now).await;
    settle(&nodes).await;
    redis.lock().expect("whole").lying = Lying::default();
    settle(&nodes).await;
    assert_eq!(redis.lock().expect("whole").lying.facts.len(), 2);
    nodes.push(Node::new(&redis, 1));
    nodes[1].facts.gather().await.expect("gathers");
    settle(&nodes).await;
    assert_eq!(nodes[1].known().await, nodes[0].known().await);
    assert_eq!(nodes[1].known().await.len(), 4);
}

#[tokio::test]
async fn what_one_node_reads_is_in_force_in_the_memory_of_another() {
    let (redis, nodes) = world(2, 0).await;
    let customers = &nodes[1].facts.customers;
    let entry = customers.load("a", Some("cus_1"), clock::now()).await.expect("loads");
    let tier = || customers.billed_tier(&entry).map(|tier| tier.name.to_string());
    assert_eq!(tier().as_deref(), Some("free"));
    settle(&nodes).await;
    nodes[0].read("sub_1", "cus_1", Status::Active, 7, *NOW).await;
    nodes[0].facts.put_all().await.expect("puts");
    let hint = redis.lock().expect("whole").hints[1].pop_back().expect("told");
    nodes[1].facts.fetch(vec![hint]).await.expect("reads");
    assert_eq!(tier().as_deref(), Some("pro"));
    assert!(nodes[1].facts.next_version() > 7);
}

#[tokio::test]
async fn a_reading_comes_behind_all_that_any_node_has_read() {
    let (_, nodes) = world(2, 0).await;
    let ahead = u64::try_from(clock::now().micros()).expect("late") + 3_600_000_000;
    nodes[0].read("sub_1", "cus_1", Status::Active, ahead, *NOW).await;
    settle(&nodes).await;
    assert_eq!(nodes[1].facts.next_version(), ahead + 1);
    assert!(nodes[1].facts.next_version() > ahead + 1);
}

#[tokio::test]
async fn who_is_erased_on_one_node_is_erased_on_all() {
    let (redis, nodes) = world(3, 0).await;
    nodes[0].store().customer("a".into(), Some("cus_1".into()), *NOW).await.expect("links");
    settle(&nodes).await;
    for node in &nodes {
        assert!(node.store().find_customer("a".into()).await.expect("reads").is_some());
    }
    nodes[0].facts.customers.erase("a", clock::now()).await.expect("erases");
    settle(&nodes[..2]).await;
    for node in &nodes[..2] {
        assert_eq!(node.store().find_customer("a".into()).await.expect("reads"), None);
        assert_eq!(node.store().facts_to_put(None, 9).await.expect("reads"), []);
    }
    let told = redis.lock().expect("whole").lying.facts.values().map(|(.., facts)| facts.len()).max();
    assert!(told < Some(16), "nothing is told of them any more");
    // Somebody new of that name, of whom the third node hears together with the erasure.
    nodes[1].store().customer("a".into(), Some("cus_2".into()), *NOW + 5).await.expect("links");
    settle(&nodes[..2]).await;
    settle(&nodes).await;
    for node in &nodes {
        let row = node.store().find_customer("a".into()).await.expect("reads").expect("there");
        assert_eq!(row.stripe_customer.as_deref(), Some("cus_2"));
        let first = node.store().customer_name(1).await.expect("reads").expect("there");
        assert_eq!(first, "erased 1");
    }
}
