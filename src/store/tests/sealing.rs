//! What is sealed, and what waits.

use super::*;
use crate::domain::period::Period;

#[tokio::test]
async fn a_period_that_ends_soon_is_sealed_alone() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    let mut both = batch(customer, 5, 6);
    let later = TotalUnits {
        period_end: NOW + 10_000,
        included: 2,
        reportable: 2,
        ..both.totals.values().copied().next().expect("one")
    };
    both.totals.insert(TotalKey { customer, meter: 1, period_start: NOW + 100 }, later);
    store.fold(both).expect("folds");
    assert_eq!(store.next_period_end(NOW).await.expect("reads"), Some(NOW + 100));
    assert_eq!(store.next_period_end(NOW + 101).await.expect("reads"), Some(NOW + 10_000));
    let soon = SealScope::Ending { from: NOW - 100, to: NOW + 130 };
    let sealed = store.seal(SealPlan { scope: soon, ..plan() }).await.expect("seals");
    assert_eq!((sealed.rows, sealed.units), (1, 5));
    assert_eq!(store.seal(plan()).await.expect("seals").units, 2);
}

#[tokio::test]
async fn only_the_subscription_that_counts_has_edges() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    let subscribe = |id: &str, start, rank| {
        let facts = Facts { id: id.into(), ..facts(Status::Active) };
        let window = Some(Period { start, end: start + 1_000 });
        store.upsert_subscription(
            Upsert {
                facts,
                version: 1,
                reread_at: None,
                window,
                rank,
                tier: None,
                amount: None,
                paid_until: None,
            },
            NOW,
        )
    };
    subscribe("sub_counts", START, 2).await.expect("stores");
    subscribe("sub_beside_it", NOW - 45, 1).await.expect("stores");
    let sealed = store.seal(SealPlan { event_names: vec![], ..plan() }).await.expect("looks");
    assert_eq!(sealed.spanning, []);
    subscribe("sub_better", NOW - 45, 3).await.expect("stores");
    let sealed = store.seal(plan()).await.expect("looks");
    assert_eq!((sealed.units, sealed.spanning.len()), (0, 1));
}

#[tokio::test]
async fn an_estimate_is_sealed_once_its_truth_is_known_or_nobody_can_tell_it_any_more() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    let total = TotalKey { customer, meter: 1, period_start: START };
    let mut first = batch(customer, 5, 6);
    first.estimates.push(Estimate { record: 5, total, reportable: 5 });
    store.fold(first).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default());
    let mut truth = batch(customer, -2, 7);
    truth.corrected.push(5);
    store.fold(truth).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals").units, 3);

    let mut unanswered = batch(customer, 4, 8);
    unanswered.estimates.push(Estimate { record: 7, total, reportable: 4 });
    store.fold(unanswered).expect("folds");
    deliver(&store).await;
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default());
    assert_eq!(store.let_estimates_stand().expect("settles"), 1);
    assert_eq!(store.seal(plan()).await.expect("seals").units, 4);
}
