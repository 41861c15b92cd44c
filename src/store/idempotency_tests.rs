//! Idempotency keys in a real file, as batches of records tell of them.

use super::tests::{NOW, Temporary, batch};
use super::*;

const KEY: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

/// Folds one batch with these news of customer 7's keys.
fn fold(store: &Store, next_record: u64, news: &[([u8; 16], KeyChange)]) {
    let keys = news.iter().map(|(key, what)| KeyNews { customer: 7, key: *key, what: *what });
    store.fold(Batch { keys: keys.collect(), ..batch(7, 1, next_record) }).expect("folds");
}

fn charged(at: i64, record: u64) -> KeyChange {
    KeyChange::Charged { at, record }
}

fn kept(store: &Store) -> Vec<KeyRow> {
    latest(store, 7, NOW - 1_000, 10)
}

fn latest(store: &Store, customer: u32, after: i64, most: usize) -> Vec<KeyRow> {
    store.read_blocking(move |db| idempotency::latest(db, customer, after, most)).expect("reads")
}

#[tokio::test]
async fn charged_keys_and_their_repeats_survive_a_restart_the_latest_first() {
    let store = Temporary::new();
    fold(&store, 6, &[(KEY, charged(NOW, 4)), (OTHER, charged(NOW + 1, 5))]);
    fold(&store, 7, &[(KEY, KeyChange::Repeated), (KEY, KeyChange::Repeated)]);
    let store = store.reopened();
    let [first, last] =
        [KeyRow { key: KEY, at: NOW, repeats: 2 }, KeyRow { key: OTHER, at: NOW + 1, repeats: 0 }];
    assert_eq!(kept(&store), [last, first]);
    assert_eq!(latest(&store, 7, NOW - 1_000, 1), [last], "not more than asked for");
    assert_eq!(latest(&store, 7, NOW, 10), [last], "not older than asked for");
    assert_eq!(latest(&store, 8, NOW - 1_000, 10), [], "of one customer");
}

#[tokio::test]
async fn a_correction_takes_away_the_key_of_its_own_charge_only() {
    let store = Temporary::new();
    fold(&store, 6, &[(KEY, charged(NOW, 4)), (KEY, KeyChange::Undone { record: 4 })]);
    assert_eq!(kept(&store), []);
    // The next request was charged and recorded before the correction of the first was.
    fold(
        &store,
        7,
        &[(KEY, charged(NOW, 6)), (KEY, charged(NOW + 1, 7)), (KEY, KeyChange::Undone { record: 6 })],
    );
    assert_eq!(kept(&store), [KeyRow { key: KEY, at: NOW + 1, repeats: 0 }]);
}

#[tokio::test]
async fn keys_that_no_longer_count_and_the_oldest_of_too_many_are_removed() {
    let store = Temporary::new();
    fold(&store, 6, &[(KEY, charged(NOW - 10, 4)), (OTHER, charged(NOW, 5))]);
    assert!(!store.prune_keys(NOW).await.expect("prunes"), "one slice was enough");
    assert_eq!(kept(&store), [KeyRow { key: OTHER, at: NOW, repeats: 0 }]);
    fold(&store, 7, &[(KEY, charged(NOW + 1, 6)), ([3; 16], charged(NOW + 2, 7))]);
    store.prune_crowded_keys(2).await.expect("prunes");
    let kept: Vec<_> = kept(&store).iter().map(|row| row.key).collect();
    assert_eq!(kept, [[3; 16], KEY], "the latest two");
}

#[test]
fn a_batch_grows_with_its_keys_whoever_they_belong_to() {
    let news = KeyNews { customer: 7, key: KEY, what: KeyChange::Repeated };
    let all = Batch { keys: vec![news; 3], corrected: vec![4, 5], ..batch(7, 1, 6) };
    assert_eq!(all.changes(), 1 + 3 + 2, "one total, three keys, two corrections");
}
