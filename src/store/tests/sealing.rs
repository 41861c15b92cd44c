//! What is sealed, and what waits.

use super::*;

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
