//! How long the disk takes to make something durable, and what that means for requests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::{Durability, Ledger};

use super::Site;
use super::check::Check;

const NAME: &str = "disk speed";
const SYNCS: usize = 100;
/// As much at once as the ledger writes for a handful of requests.
const BYTES: [u8; 4096] = [0x7a; 4096];
const MEASURED_FOR: Duration = Duration::from_secs(3);
/// With `durability = "power"` each answer waits for about one sync.
const SLOW: Duration = Duration::from_millis(20);

pub(super) fn check(site: &Site) -> Vec<Check> {
    let data_dir = &site.config.server.data_dir;
    if !data_dir.exists() {
        let said = format!("{} is not there yet: the gateway makes it", data_dir.display());
        return vec![Check::skipped(NAME, said)];
    }
    vec![match measure(data_dir) {
        Ok(times) => judge(times, &site.config.ledger),
        Err(error) => Check::failed(
            NAME,
            format!("{} cannot be written to: {error}", data_dir.display()),
            "make room, and let the user that runs the gateway (and this) write there",
        ),
    }]
}

/// How long each of many syncs took.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let mut file = nameless(folder)?;
    let began = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    while times.len() < SYNCS && began.elapsed() < MEASURED_FOR {
        file.write_all(&BYTES)?;
        let sync = Instant::now();
        file.sync_data()?;
        times.push(sync.elapsed());
    }
    Ok(times)
}

/// A file whose name is gone: nothing of it stays, however this ends.
fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn judge(mut times: Vec<Duration>, ledger: &Ledger) -> Check {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = times.len().saturating_sub(1) * percent / 100;
        times.get(place).copied().unwrap_or(MEASURED_FOR)
    };
    let (usual, slow) = (at(50), at(99));
    let said = format!("{} syncs: half within {usual:.1?}, 99 % within {slow:.1?}", times.len());
    let advice = "use a faster disk, and no other writer on it";
    match ledger.durability {
        Durability::Power => {
            let said = format!("{said}; with durability = \"power\" each answer waits about so long");
            if usual > SLOW { Check::warning(NAME, said, advice) } else { Check::ok(NAME, said) }
        }
        Durability::Process if slow > ledger.sync_interval => {
            let every = ledger.sync_interval;
            let said = format!("{said}; longer than ledger.sync_interval ({every:.0?})");
            Check::warning(NAME, format!("{said}: a loss of power takes more than that"), advice)
        }
        Durability::Process => Check::ok(NAME, format!("{said}; no answer waits for them")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn slow_syncs_matter_where_somebody_waits_for_them() {
        let retention = Duration::from_hours(24);
        let ledger = |durability| Ledger { durability, sync_interval: Duration::from_millis(200), retention };
        for (millis, durability, outcome) in [
            (1, Durability::Power, Outcome::Ok),
            (50, Durability::Power, Outcome::Warning),
            (50, Durability::Process, Outcome::Ok),
            (500, Durability::Process, Outcome::Warning),
        ] {
            let check = judge(vec![Duration::from_millis(millis); 100], &ledger(durability));
            assert_eq!(check.outcome, outcome, "{millis} ms: {}", check.said);
        }
        assert_eq!(judge(Vec::new(), &ledger(Durability::Power)).outcome, Outcome::Warning, "none was done");
    }

    #[test]
    fn nothing_is_left_of_what_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!measure(folder.path()).expect("a disk").is_empty());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
