//! Anonymous callers among the customers: what they may, how many there may be, and when they are forgotten.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::anonymous::is_anonymous;
use crate::domain::usage::Now;
use crate::store::{AtRest, StoreError};

use super::Customers;

/// So many may be in memory: who floods from ever new addresses fills it no further.
pub(super) const MOST: usize = 100_000;
/// Those that are looked at together.
const SLICE: u32 = 1_000;

/// In memory, of the whole process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Counts an entry as long as it is there.
pub(super) fn came(name: &str) {
    if is_anonymous(name) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn left(name: &str) {
    if is_anonymous(name) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Customers {
    /// Whether an anonymous caller is known, or there is room for one more.
    pub fn has_room_for(&self, anonymous: &str) -> bool {
        COUNT.load(Ordering::Relaxed) < self.most_anonymous || self.get(anonymous).is_some()
    }

    /// Forgets anonymous callers who are not in memory, and of whom nothing is kept that ended behind an instant.
    pub async fn forget_anonymous(&self, ended_before: Now) -> Result<(), StoreError> {
        let before = ended_before.seconds();
        let mut after = (0, 0);
        loop {
            let page = self.store.anonymous_at_rest(after, before, SLICE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.place;
            for AtRest { name, .. } in page {
                // Nobody loads them meanwhile.
                let _one_at_a_time = self.stripe(&name).lock().await;
                if self.get(&name).is_none() {
                    self.store.forget_anonymous(name, before).await?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{World, catalogue, now};
    use super::*;
    use crate::domain::catalogue::Catalogue;
    use crate::domain::tier::TierId;

    const DAY: u64 = 86_400_000_000_000;

    #[tokio::test]
    async fn anonymous_callers_have_their_tier_fit_into_their_bound_and_are_forgotten_when_they_are_gone() {
        let world = World::new();
        let (mut customers, store) = (world.customers, world.store);
        let catalogue = Catalogue { anonymous_tier: Some(TierId(1)), ..catalogue() };
        customers.succeed(Arc::new(catalogue), vec![1], now());
        customers.most_anonymous = 2;
        let tier = async |name: &str| {
            let entry = customers.load(name, None, now()).await.expect("loads");
            entry.own_tier().expect("a tier")
        };
        for name in ["ip 192.0.2.1", "ip 192.0.2.2"] {
            assert!(customers.has_room_for(name));
            assert_eq!(tier(name).await, TierId(1));
        }
        assert_eq!(tier("acme").await, TierId(0), "others have the default");
        assert!(!customers.has_room_for("ip 192.0.2.3"));
        assert!(customers.has_room_for("ip 192.0.2.1"), "who is there may go on");
        let later = Now(now().nanos() + DAY);
        let is_known = async |name: &str| store.find_customer(name.into()).await.expect("reads").is_some();
        customers.forget_anonymous(later).await.expect("forgets");
        assert!(is_known("ip 192.0.2.1").await, "who is in memory is not forgotten");
        customers.evict(later);
        assert!(customers.has_room_for("ip 192.0.2.3"));
        customers.forget_anonymous(later).await.expect("forgets");
        assert!(!is_known("ip 192.0.2.1").await && !is_known("ip 192.0.2.2").await && is_known("acme").await);
    }
}
