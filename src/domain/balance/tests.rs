//! Shares, loads, callers and health, against what they promise; random ones print their seed when they fail.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::health::{CheckRules, Checked, EjectRules, Failures, may_eject};
use super::*;

fn server(number: u64, weight: u32) -> Candidate {
    Candidate {
        weight,
        busy: 0,
        well: true,
        back_for_ms: None,
        seed: key_of(format!("10.0.0.{number}:9000").as_bytes()),
        tried: false,
    }
}

fn servers(weights: &[u32]) -> Vec<Candidate> {
    weights.iter().zip(1..).map(|(weight, number)| server(number, *weight)).collect()
}

fn counts(servers: &[Candidate], turns: impl Iterator<Item = u64>, slow_start_ms: u64) -> Vec<u32> {
    let mut counts = vec![0; servers.len()];
    for turn in turns {
        counts[choose(Pick::InTurn(turn), servers, slow_start_ms).expect("a server")] += 1;
    }
    counts
}

#[test]
fn equal_servers_take_turns() {
    let servers = servers(&[7, 7, 7]);
    let picks: Vec<_> = (0..6).filter_map(|turn| choose(Pick::InTurn(turn), &servers, 0)).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    assert_eq!(choose(Pick::InTurn(1), &[], 0), None);
}

proptest! {
    #[test]
    fn each_server_gets_its_share_of_any_ten_thousand_requests(
        weights in vec(1..=1_000_u32, 1..12), from in any::<u32>(),
    ) {
        let from = u64::from(from);
        let counts = counts(&servers(&weights), from..from + 10_000, 0);
        let whole: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let share = 10_000.0 * f64::from(*weight) / f64::from(whole);
            prop_assert!((f64::from(*count) - share).abs() < 20.0, "{counts:?} of {weights:?}");
        }
    }

    #[test]
    fn who_is_not_well_or_was_tried_gets_nothing_where_another_can_take_it(
        states in vec((any::<bool>(), any::<bool>(), 1..5_u32, 0..9_u32), 1..8), turn in any::<u64>(), by in 0..3_usize,
    ) {
        let candidate = |(at, (well, tried, weight, busy)): (usize, &(bool, bool, u32, u32))| {
            Candidate { well: *well, tried: *tried, busy: *busy, ..server(at as u64, *weight) }
        };
        let servers: Vec<_> = states.iter().enumerate().map(candidate).collect();
        let pick = [Pick::InTurn(turn), Pick::LeastBusy(turn), Pick::Caller(turn)][by];
        let chosen = servers[choose(pick, &servers, 0).expect("a server")];
        let rank = |server: &Candidate| match (server.well, server.tried) {
            (true, false) => 0,
            (true, true) => 1,
            (false, false) => 2,
            (false, true) => 3,
        };
        let best = servers.iter().map(rank).min();
        prop_assert_eq!(Some(rank(&chosen)), best);
    }

    #[test]
    fn the_least_busy_server_for_its_weight_is_chosen(
        loads in vec((1..=10_u32, 0..50_u32), 1..8), turn in any::<u64>(),
    ) {
        let loaded = |(at, (weight, busy)): (usize, &(u32, u32))| Candidate { busy: *busy, ..server(at as u64, *weight) };
        let servers: Vec<_> = loads.iter().enumerate().map(loaded).collect();
        let load = |server: &Candidate| f64::from(server.busy + 1) / f64::from(server.weight);
        let chosen = choose(Pick::LeastBusy(turn), &servers, 0).expect("a server");
        prop_assert!(servers.iter().all(|other| load(other) >= load(&servers[chosen]) - 1e-9));
    }

    #[test]
    fn a_server_that_leaves_moves_nobody_but_its_own_callers(
        weights in vec(1..=20_u32, 2..12), gone in any::<prop::sample::Index>(), callers in vec(any::<u64>(), 50),
    ) {
        let servers = servers(&weights);
        let gone = gone.index(servers.len());
        let mut left = servers.clone();
        left.remove(gone);
        for caller in callers {
            let before = choose(Pick::Caller(caller), &servers, 0).expect("a server");
            let after = choose(Pick::Caller(caller), &left, 0).expect("a server");
            prop_assert!(before == gone || servers[before] == left[after]);
        }
    }
}

#[test]
fn callers_spread_over_servers_by_weight() {
    let servers = servers(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 3]);
    let mut callers = vec![0; servers.len()];
    for caller in 0..12_000 {
        let key = key_of(format!("customer {caller}").as_bytes());
        callers[choose(Pick::Caller(key), &servers, 0).expect("a server")] += 1;
    }
    for (count, server) in callers.iter().zip(&servers) {
        let share = 1_000 * i64::from(server.weight);
        assert!((i64::from(*count) - share).abs() < share / 5, "{callers:?}");
    }
}

#[test]
fn the_least_busy_server_takes_more_where_answers_are_quicker() {
    // The slow one answers every tenth round, the quick one each.
    let mut servers = servers(&[1, 1]);
    let (mut taken, mut slow_ends) = ([0_u32; 2], Vec::new());
    for round in 0..10_000_u64 {
        let chosen = choose(Pick::LeastBusy(round), &servers, 0).expect("a server");
        taken[chosen] += 1;
        if chosen == 0 {
            servers[0].busy += 1;
            slow_ends.push(round + 10);
        }
        let ended = slow_ends.iter().take_while(|end| **end <= round).count();
        slow_ends.drain(..ended);
        servers[0].busy = u32::try_from(slow_ends.len()).expect("few");
    }
    assert!(taken[1] > 8 * taken[0], "{taken:?}");
}

#[test]
fn who_has_come_back_gets_a_tenth_at_first_and_all_of_it_in_the_end() {
    let share_after = |back_for_ms| {
        let mut servers = servers(&[1, 1]);
        servers[1].back_for_ms = Some(back_for_ms);
        counts(&servers, 0..11_000, 10_000)[1]
    };
    assert!((990..1_010).contains(&share_after(0)), "{}", share_after(0));
    assert!((3_650..3_680).contains(&share_after(5_000)), "{}", share_after(5_000));
    assert_eq!(share_after(10_000), 5_500);
}

#[test]
fn names_give_the_same_numbers_on_every_machine() {
    let keys: HashMap<_, _> =
        ["", "acme", "10.0.0.1:9000"].map(|name| (name, key_of(name.as_bytes()))).into();
    assert_eq!(keys[""], 17_665_956_581_633_026_203);
    assert_ne!(keys["acme"], keys["10.0.0.1:9000"]);
}

#[test]
fn a_server_rises_and_falls_with_answers_in_a_row() {
    let rules = CheckRules { rise: 2, fall: 3 };
    let mut checked = Checked::default();
    let mut after = |answers: &[bool]| {
        for good in answers {
            checked.note(*good, rules);
        }
        checked.is_well()
    };
    assert!(after(&[false, false, true, false, false]), "never three in a row");
    assert!(!after(&[false]));
    assert!(!after(&[true, false, true, false]), "never two in a row");
    assert!(after(&[true, true]));
}

#[test]
fn failures_in_a_row_within_the_time_have_consequences() {
    let rules = EjectRules { failures: 3, within_ms: 1_000, lasts_ms: 5_000 };
    let mut failures = Failures::default();
    assert!(!failures.failed(rules, 0) && !failures.failed(rules, 10));
    failures.succeeded();
    assert!(!failures.failed(rules, 20) && !failures.failed(rules, 30), "a good answer came in between");
    assert!(!failures.failed(rules, 1_021), "the first of them is too old");
    assert!(!failures.failed(rules, 1_022) && failures.failed(rules, 1_023));
}

#[test]
fn who_fails_soon_again_is_left_alone_for_longer() {
    let rules = EjectRules { failures: 1, within_ms: 1_000, lasts_ms: 1_000 };
    let mut failures = Failures::default();
    assert_eq!(failures.eject(rules, 10_000), 11_000);
    assert!(!failures.failed(rules, 10_500), "it is left alone already");
    assert_eq!(failures.eject(rules, 11_500), 13_500);
    assert_eq!(failures.eject(rules, 15_499), 18_499);
    assert_eq!(failures.eject(rules, 21_499), 22_499, "it was well for long enough");
    let last = (0..50).fold(0, |until, _| failures.eject(rules, until));
    assert_eq!(failures.eject(rules, last) - last, 10_000);
}

proptest! {
    #[test]
    fn at_most_half_of_the_servers_are_left_alone(servers in 0..100_usize) {
        let out = (0..servers).take_while(|out| may_eject(servers, *out)).count();
        prop_assert_eq!(out, servers / 2);
    }
}
