//! Style as tests. Every rule says why it is there, and every checker is tried on a sample that breaks its rule.
//!
//! Rules about code look at *production code*: the source with comments and literals blanked and everything under
//! `#[cfg(test)]` taken out. Offsets and lines stay those of the file.

#[path = "tidy/checkers.rs"]
mod checkers;
#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use checkers::{
    arrows_up, impurities, leftovers, long_files, long_functions, statuses, unexplained_dependencies,
    wide_lines,
};
use source::{check, folders, read};

/// Metrics that dashboards and alerts may rely on, without the prefix `tollgate_`.
const DOCUMENTED_METRICS: &str = "
    connections connections_refused_total certificate_expires_seconds
    requests_total refusals_total shadow_refusals_total request_seconds gateway_seconds units_total auth_total
    token_cache_hits_total token_cache_misses_total customers_loaded
    ledger_appends_total ledger_sync_seconds ledger_bytes ledger_errors_total unsealed_units unlinked_units
    outbox_pending outbox_oldest_seconds outbox_dead
    stripe_requests_total stripe_request_seconds stripe_circuit_open meter_events_total
    webhooks_total webhook_duplicates_total webhook_seconds webhook_lag_seconds
    subscriptions tier_changes_total payments_total checkouts_total credits_total
    access_log_dropped_total spans_dropped_total
    notices_total notices_pending
    fleet_member fleet_redis_up fleet_lease_calls_total fleet_lag_seconds fleet_uncopied
    inbox_pending inbox_oldest_seconds inbox_failed
    reconcile_difference_units config_reload_total config_rejected build_info
";

fn assert_none(found: &[String], why: &str) {
    assert!(found.is_empty(), "{why}:\n  {}\n", found.join("\n  "));
}

#[test]
fn arrows_point_down() {
    assert_none(
        &check("src", arrows_up),
        "a room may use the floors below it and nothing else, so that each can be read, tested and replaced \
         without what stands on it; move what both need further down, or hand it in as a value",
    );
}

#[test]
fn the_domain_is_pure() {
    assert_none(
        &check("src", impurities),
        "the domain decides with values: time is an argument, and clock, I/O, locks and metrics are for the rooms \
         above, so that every decision can be tested by calling it",
    );
}

#[test]
fn files_have_one_purpose() {
    let found = [check("src", long_files), check("tests", long_files)].concat();
    assert_none(&found, "a file of more than 400 lines has more than one purpose: split it by purpose");
}

#[test]
fn functions_fit_a_screen() {
    let found = [check("src", long_functions), check("tests", long_functions)].concat();
    assert_none(&found, "a function of more than 70 lines cannot be read at a glance: name its parts");
}

#[test]
fn lines_fit_two_columns_on_a_screen() {
    assert_none(
        &check("src", wide_lines),
        "lines over 120 columns are wrapped by review tools, and read badly",
    );
}

#[test]
fn nothing_is_left_over_from_trying_out() {
    assert_none(
        &check("src", leftovers),
        "a panic on what comes from outside ends other people's requests, and stdout belongs to the commands' \
         results: return an error, `expect` an invariant and name it, or use tracing",
    );
}

#[test]
fn error_statuses_are_decided_in_one_place() {
    assert_none(
        &check("src", statuses),
        "src/problem.rs turns errors into statuses, so that the same mistake is answered in the same way \
         everywhere: return a Problem",
    );
}

#[test]
fn every_dependency_says_why() {
    let manifest = read(Path::new("Cargo.toml"));
    assert_none(
        &unexplained_dependencies(&manifest),
        "every dependency is code that we answer for: its line ends in a comment that says what it is for",
    );
}

#[test]
fn the_map_of_the_source_names_every_room() {
    let map = read(Path::new("docs/source.md"));
    let rooms = folders("src").into_iter().map(|name| format!("`src/{name}`"));
    let missing = rooms.chain(folders("tests").into_iter().map(|name| format!("`{name}`")));
    assert_none(
        &missing.filter(|room| !map.contains(room)).collect::<Vec<_>>(),
        "docs/source.md is where a newcomer looks for what a folder is for",
    );
}

#[test]
fn every_documented_metric_is_declared() {
    let declared = read(Path::new("src/metrics.rs"));
    let missing =
        DOCUMENTED_METRICS.split_whitespace().filter(|name| !declared.contains(&format!("(\"{name}\"")));
    assert_none(
        &missing.map(|name| format!("src/metrics.rs: {name}")).collect::<Vec<_>>(),
        "dashboards and alerts rely on the documented names: none may vanish",
    );
}
