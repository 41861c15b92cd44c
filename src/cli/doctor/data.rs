//! What lies in `data_dir`: who has it, the store, the newest segment of the ledger, the outbox.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use crate::clock;
use crate::config::Config;
use crate::ledger::{Disk, Expected, LedgerId, Position, Resume, Survey, Verifier};
use crate::store::{OutboxCounts, StoreError, StoreReader};

use super::Site;
use super::check::Check;

const LOCK: &str = "data_dir";
const STORE: &str = "store";
const LEDGER: &str = "ledger";
const OUTBOX: &str = "outbox";
/// Usage that has waited for so long needs somebody's eyes, as `/health/billing` says too.
const OLD_SECONDS: i64 = 900;

/// Whether a gateway has the folder. Nothing is made there.
pub(super) fn is_locked(data_dir: &Path) -> bool {
    let Ok(file) = File::open(data_dir.join("lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

pub(super) fn check(site: &Site) -> Vec<Check> {
    let data_dir = &site.config.server.data_dir;
    let has_it = if site.is_running { "a gateway runs on it" } else { "no gateway runs on it" };
    let mut checks = vec![Check::ok(LOCK, format!("{}: {has_it}", data_dir.display()))];
    let store = match StoreReader::open(data_dir) {
        Ok(store) => store,
        Err(error) => {
            checks.push(without_store(&error));
            return checks;
        }
    };
    checks.push(Check::ok(STORE, "of this version"));
    checks.push(ledger(&site.config, &store).unwrap_or_else(|error| {
        let advice = "run `tollgate ledger verify`, as the user that runs the gateway";
        Check::failed(LEDGER, format!("it cannot be read: {error:#}"), advice)
    }));
    checks.push(match store.outbox_counts() {
        Ok(counts) => judge_outbox(counts, clock::now().seconds()),
        Err(error) => Check::failed(OUTBOX, error.to_string(), "restore data_dir from a backup"),
    });
    checks
}

fn without_store(error: &StoreError) -> Check {
    let said = error.to_string();
    match error {
        StoreError::Missing(_) => Check::skipped(STORE, "no gateway has run here yet"),
        StoreError::Older(_) => {
            Check::warning(STORE, said, "the gateway of this version migrates it at its start")
        }
        StoreError::Newer(_) => Check::failed(STORE, said, "run the version that wrote it, or a newer one"),
        StoreError::Forbidden { .. } => {
            Check::failed(STORE, said, "run this as the user that runs the gateway")
        }
        _ => Check::failed(STORE, said, "restore data_dir from a backup"),
    }
}

/// The newest segment alone: all of them take long.
fn ledger(config: &Config, store: &StoreReader) -> anyhow::Result<Check> {
    let Some(id) = store.ledger_id()? else {
        return Ok(Check::skipped(LEDGER, "no gateway has run here yet"));
    };
    // What has been counted is looked up first: all of it must be in the survey.
    let (segment, offset, next_record) = store.folded()?;
    let id = LedgerId(id);
    let disk = Disk::open_read_only(config.server.data_dir.join("ledger"))?;
    let survey = Survey::new(Arc::new(disk), id)?;
    let Some(newest) = survey.segments().last().map(|newest| newest.number) else {
        return Ok(judge_ledger(segment, None));
    };
    let expected = Expected {
        ledger: id,
        resume: Resume { folded: Position { segment, offset }, next_record },
        lost: &[],
        kept_since_micros: i64::MAX,
    };
    let mut verifier = Verifier::of_newest(&survey, expected);
    verifier.next_segment(|_| ())?;
    let found = verifier.found();
    let fault = found.faults.first().map(|fault| format!("at byte {}: {}", fault.offset, fault.damage));
    Ok(judge_ledger(segment, Some((newest, found.records, fault))))
}

/// `newest`: its number, its records, and what is wrong with it.
fn judge_ledger(folded: u64, newest: Option<(u64, u64, Option<String>)>) -> Check {
    let advice = "stop the gateway, run `tollgate ledger verify`, and restore data_dir from a backup";
    match newest {
        None if folded == 0 => Check::ok(LEDGER, "empty"),
        None => Check::failed(LEDGER, "its segments are gone", advice),
        Some((number, ..)) if number < folded => {
            Check::failed(LEDGER, format!("segment {folded}, which has been counted, is gone"), advice)
        }
        Some((number, _, Some(fault))) => Check::failed(LEDGER, format!("segment {number}, {fault}"), advice),
        Some((number, records, None)) => {
            Check::ok(LEDGER, format!("segment {number}, the newest, is whole: {records} records"))
        }
    }
}

fn judge_outbox(OutboxCounts { pending, dead, oldest_sealed_at }: OutboxCounts, now: i64) -> Check {
    let age = oldest_sealed_at.map_or(0, |at| (now - at).max(0));
    let said = match (pending, dead) {
        (0, 0) => return Check::ok(OUTBOX, "Stripe has accepted all that was sealed"),
        (pending, 0) => format!("{pending} meter events wait, the oldest for {age} s"),
        (pending, dead) => {
            format!("{dead} meter events are dead, and {pending} wait, the oldest for {age} s")
        }
    };
    if dead > 0 {
        let advice =
            "see `tollgate outbox list --state dead`, mend what Stripe says, then `tollgate outbox retry`";
        Check::failed(OUTBOX, said, advice)
    } else if age > OLD_SECONDS {
        Check::warning(OUTBOX, said, "see `tollgate outbox list`: each says why Stripe has not taken it")
    } else {
        Check::ok(OUTBOX, said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn usage_that_waits_is_no_fault_until_it_is_old_or_dead() {
        let judged = |pending, dead, oldest_sealed_at| {
            judge_outbox(OutboxCounts { pending, dead, oldest_sealed_at }, 10_000).outcome
        };
        assert_eq!(judged(0, 0, None), Outcome::Ok);
        assert_eq!(judged(3, 0, Some(10_000 - OLD_SECONDS)), Outcome::Ok);
        assert_eq!(judged(3, 0, Some(9_999 - OLD_SECONDS)), Outcome::Warning);
        assert_eq!(judged(0, 1, None), Outcome::Failed);
    }

    #[test]
    fn what_has_been_counted_must_be_there() {
        let outcome = |folded, newest| judge_ledger(folded, newest).outcome;
        assert_eq!(outcome(0, None), Outcome::Ok);
        assert_eq!(outcome(1, None), Outcome::Failed);
        assert_eq!(outcome(2, Some((1, 7, None))), Outcome::Failed);
        assert_eq!(outcome(2, Some((2, 7, None))), Outcome::Ok);
        assert_eq!(outcome(2, Some((2, 7, Some("damaged".into())))), Outcome::Failed);
    }

    #[test]
    fn a_folder_is_had_by_whoever_has_locked_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!is_locked(folder.path()), "there is nothing");
        let lock = File::create(folder.path().join("lock")).expect("a file");
        assert!(!is_locked(folder.path()));
        lock.try_lock().expect("nobody has it");
        assert!(is_locked(folder.path()));
    }
}
