//! Whatever happens, and in whatever order it is told, each event one to three times: the end is Stripe's truth.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use tollgate::domain::subscription::Facts;

use super::life::{Life, Truth, shown};
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
    let config = "[billing]\nwebhook_rate = \"100000/s\"\n[stripe]\nmax_requests_per_second = 10000";
    let world = World::builder().without_webhooks().config(config).start().await;
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

    let (truth, known) = (life.truth().await, known(&world));
    for (name, truth) in &truth {
        for (id, of_stripe) in truth {
            assert_eq!(known.get(id), Some(of_stripe), "{name}: {id}, here (left) and at Stripe (right)");
        }
        let (status, tier) = shown(truth);
        let here = world.customer(name).status().await;
        assert_eq!(here["tier"], tier, "{name}: {truth:?}");
        if let Some(status) = status {
            assert_eq!(here["status"], *status, "{name}: {truth:?}");
        }
    }
    assert_eq!(known.len(), truth.values().map(BTreeMap::len).sum::<usize>(), "nothing else is known");
    world.finish().await;
}

/// All subscriptions as the gateway has stored them.
fn known(world: &World) -> Truth {
    let store = rusqlite::Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
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
