use super::super::tests::{NOW, Temporary, batch};
use super::super::{Batch, Cutoffs, Moved, Spanning, TotalKey};
use super::*;

const START: i64 = NOW - 100;

fn key(member: u32) -> MemberKey {
    MemberKey { customer: 7, period_start: START, member, meter: 1 }
}

fn total(member: u32, units: u64) -> MemberTotal {
    MemberTotal { member, meter: 1, units }
}

/// Folds what members have used.
fn fold(store: &Store, next_record: u64, units: &[(u32, i64)]) {
    let units = units
        .iter()
        .map(|(member, units)| (key(*member), MemberUnits { period_end: NOW + 100, units: *units }));
    store.fold(Batch { members: units.collect(), ..batch(7, 10, next_record) }).expect("folds");
}

async fn of(store: &Store, most: usize) -> Vec<MemberTotal> {
    store.member_totals(7, START, most).await.expect("reads")
}

#[tokio::test]
async fn members_use_is_summed_and_outlives_a_restart() {
    let store = Temporary::new();
    fold(&store, 6, &[(3, 5), (4, 1)]);
    fold(&store, 7, &[(3, -2), (5, 9)]);
    let store = store.reopened();
    assert_eq!(of(&store, 10).await, [total(3, 3), total(4, 1), total(5, 9)]);
    assert_eq!(store.member_totals(7, START + 1, 10).await.expect("reads"), [], "of another period");
    assert_eq!(store.member_totals(8, START, 10).await.expect("reads"), [], "of another customer");
    assert_eq!(of(&store, 0).await, []);
}

#[tokio::test]
async fn those_beyond_the_most_are_summed_together() {
    let store = Temporary::new();
    fold(&store, 6, &[(3, 5), (4, 1), (5, 9), (6, 20)]);
    assert_eq!(of(&store, 2).await, [total(3, 5), total(4, 1), total(0, 29)]);
}

#[tokio::test]
async fn a_split_moves_what_is_behind_the_edge_to_the_new_period() {
    let store = Temporary::new();
    fold(&store, 6, &[(3, 6), (4, 4)]);
    let whole = TotalKey { customer: 7, meter: 1, period_start: START };
    let spanning = Spanning { total: whole, start: NOW, end: NOW + 200 };
    let base = store.split_base(whole).await.expect("reads").expect("a total");
    let moved = Moved { included: 5, reportable: 5, last_at_micros: NOW * 1_000_000, ..Moved::default() };
    // Of what a member used under tiers without caps nothing was counted.
    assert!(store.split(spanning, base, moved, vec![(3, 2), (5, 3)], NOW).await.expect("splits"));
    assert_eq!(of(&store, 10).await, [total(3, 4), total(4, 4)]);
    assert_eq!(store.member_totals(7, NOW, 10).await.expect("reads"), [total(3, 2)]);
}

#[tokio::test]
async fn what_members_used_goes_when_its_period_is_long_over() {
    let store = Temporary::new();
    fold(&store, 6, &[(3, 6)]);
    let cutoffs = |logs| Cutoffs { receipts: 0, webhooks: 0, financial: 0, logs };
    store.prune_settled(cutoffs(NOW + 100)).await.expect("prunes");
    assert_eq!(of(&store, 10).await, [total(3, 6)]);
    store.prune_settled(cutoffs(NOW + 101)).await.expect("prunes");
    assert_eq!(of(&store, 10).await, []);
}
