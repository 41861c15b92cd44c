//! Whatever happens, and in whatever order it is told, each event one to three times: the end is Stripe's truth.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use tollgate::domain::subscription::Facts;

use super::life::{CREDITS_PER_INVOICE, Life, Subscriptions, shown};
use crate::harness::{Dice, PATIENCE, World, setting, until};

const CUSTOMERS: usize = 100;
/// Deliveries under way at once.
const AT_ONCE: usize = 32;

/// Copies of events that have not been delivered yet.
#[derive(Default)]
struct Post {
    bag: Vec<Value>,
    events: usize,
}

impl Post {
    fn take_in(&mut self, news: Vec<Value>, dice: &mut Dice) {
        self.events += news.len();
        for event in news {
            let copies = 1 + dice.below(3);
            self.bag.extend(std::iter::repeat_n(event, copies));
        }
    }

    /// Delivers so many, whichever they are.
    async fn deliver(&mut self, count: usize, world: &World, dice: &mut Dice) {
        let count = count.min(self.bag.len());
        let picked: Vec<_> = (0..count).map(|_| self.bag.swap_remove(dice.below(self.bag.len()))).collect();
        let delivered = stream::iter(picked)
            .map(|event| async move { world.deliver(&event).await.status })
            .buffer_unordered(AT_ONCE);
        assert!(delivered.all(async |status| status == 200).await, "an event was not stored");
    }
}

/// `TOLLGATE_TEST_EVENTS` sets how many events there are.
#[tokio::test(flavor = "multi_thread")]
async fn any_order_of_any_events_ends_in_stripes_truth() {
    let wanted = setting("TOLLGATE_TEST_EVENTS", 2_000);
    let mut dice = Dice::new("any order");
    let config = format!(
        "[billing]\nwebhook_rate = \"100000/s\"\n[stripe]\nmax_requests_per_second = 10000\n\
         [tiers.pro]\ncredits_per_cycle = {CREDITS_PER_INVOICE}"
    );
    let world = World::builder().without_webhooks().config(&config).start().await;
    let mut life = Life::begin(&world);
    let mut post = Post::default();
    for customer in 0.. {
        if customer < CUSTOMERS {
            life.welcome();
        } else if post.events >= wanted {
            break;
        }
        for _ in 0..dice.below(20) {
            life.goes_on(&mut dice).await;
        }
        post.take_in(life.news().await, &mut dice);
        let some = dice.below(100);
        post.deliver(some, &world, &mut dice).await;
    }
    post.deliver(usize::MAX, &world, &mut dice).await;
    until("the inbox is done", 10 * PATIENCE, async || (world.waiting_events() == 0).then_some(())).await;
    assert_eq!(world.received_events(), post.events as u64, "each is kept once");

    let (truth, known, paid) = (life.truth().await, known(&world), paid(&world));
    for (name, truth) in &truth {
        for (id, of_stripe) in &truth.subscriptions {
            assert_eq!(known.get(id), Some(of_stripe), "{name}: {id}, here (left) and at Stripe (right)");
        }
        assert_eq!(paid.get(name).unwrap_or(&BTreeMap::new()), &truth.paid, "{name} has paid");
        let (status, tier) = shown(&truth.subscriptions);
        let here = world.customer(name).status().await;
        assert_eq!(
            (&here["tier"], &here["credits"]),
            (&tier.into(), &truth.credits.into()),
            "{name}: {truth:?}"
        );
        if let Some(status) = status {
            assert_eq!(here["status"], *status, "{name}: {truth:?}");
        }
    }
    let at_stripe = truth.values().map(|truth| truth.subscriptions.len()).sum::<usize>();
    assert_eq!(known.len(), at_stripe, "nothing else is known");
    world.finish().await;
}

fn open(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store")
}

/// What each customer has paid, by invoice.
fn paid(world: &World) -> BTreeMap<String, BTreeMap<String, i64>> {
    let store = open(world);
    let read = "SELECT name, id, amount_minor FROM payments JOIN customers ON number = customer
                WHERE outcome = 'succeeded'";
    let mut query = store.prepare(read).expect("the store's tables");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
    let mut paid: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for row in rows {
        let (name, id, amount): (String, String, i64) = row.expect("a row");
        paid.entry(name).or_default().insert(id, amount);
    }
    paid
}

/// All subscriptions as the gateway has stored them.
fn known(world: &World) -> Subscriptions {
    let store = open(world);
    let mut query = store.prepare("SELECT facts FROM subscriptions").expect("the store's tables");
    let rows = query.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|facts| {
        let facts: Facts = serde_json::from_str(&facts.expect("a row")).expect("facts");
        let mut items: Vec<_> = facts.items.into_iter().map(|item| (item.price, item.period_end)).collect();
        items.sort();
        (facts.id, (facts.status.as_str().to_owned(), facts.cancel_at_period_end, items))
    })
    .collect()
}
