//! Where the ledger and the store lie: room, and what kind of disk it is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Site;
use super::check::Check;

const NAME: &str = "disk";
const MIB: u64 = 1 << 20;
/// With less the gateway may stop at any moment.
const LEAST: u64 = 100 * MIB;
const ENOUGH: u64 = 1024 * MIB;
/// Somebody must have time to make room.
const DAYS: u64 = 7;
const A_DAY: Duration = Duration::from_hours(24);

pub(super) fn check(site: &Site) -> Vec<Check> {
    let data_dir = &site.config.server.data_dir;
    let Some(place) = existing(data_dir) else {
        return vec![Check::failed(NAME, format!("{} cannot be reached", data_dir.display()), "make it")];
    };
    let free = match rustix::fs::statvfs(&place) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let said = format!("{} cannot be looked at: {error}", place.display());
            return vec![Check::failed(NAME, said, "run this as the user that runs the gateway")];
        }
    };
    let mut checks = vec![judge_room(free, written_in_a_day(&data_dir.join("ledger")))];
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    checks.extend(place.canonicalize().ok().and_then(|place| judge_kind(kind_of(&mounts, &place)?)));
    checks.extend(judge_devices(data_dir));
    checks
}

/// The folder, or the nearest above it: the gateway makes those that are missing.
fn existing(data_dir: &Path) -> Option<PathBuf> {
    let here = || Path::new(".").to_owned();
    let named = |path: &Path| if path.as_os_str().is_empty() { here() } else { path.to_owned() };
    data_dir.ancestors().map(named).find(|path| path.exists())
}

/// Bytes of the ledger's files that were written to in the last day; none where there is no ledger.
fn written_in_a_day(ledger: &Path) -> u64 {
    let files = fs::read_dir(ledger).into_iter().flatten().flatten();
    let recent = files.filter_map(|file| file.metadata().ok()).filter(|found| {
        let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_none_or(|age| age < A_DAY)
    });
    recent.map(|found| found.len()).sum()
}

fn judge_room(free: u64, a_day: u64) -> Check {
    let shown = |bytes: u64| match bytes / MIB {
        mib if mib < 10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib / 1024),
    };
    let said = format!("{} free; the ledger writes at most {} a day", shown(free), shown(a_day + MIB - 1));
    let advice = "make room, or shorten ledger.retention: a full disk stops what is charged";
    if free < LEAST {
        Check::failed(NAME, said, advice)
    } else if free < ENOUGH || free < a_day.saturating_mul(DAYS) {
        Check::warning(NAME, said, advice)
    } else {
        Check::ok(NAME, said)
    }
}

/// The kind of file system at an absolute path, as `/proc/self/mountinfo` (proc(5)) tells.
fn kind_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then(|| Some((point.len(), after.split(' ').next()?)))?
    };
    // Of two at the same place the later one covers the earlier.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn judge_kind(kind: &str) -> Option<Check> {
    let said = |why: &str| format!("data_dir is on {kind}: {why}");
    Some(match kind {
        "tmpfs" | "ramfs" => {
            let advice = "move data_dir to a disk: what is charged and not yet at Stripe would be lost";
            Check::failed(NAME, said("a restart of the machine empties it"), advice)
        }
        "overlay" | "aufs" => {
            let advice = "mount a volume at data_dir: the container's own files end with it";
            Check::warning(NAME, said("a container's own file system"), advice)
        }
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "fuse.sshfs" | "fuse.s3fs" | "ceph" | "glusterfs" => {
            let advice =
                "use a local disk or a block device: locks and syncs over a network cannot be relied on";
            Check::warning(NAME, said("files over a network"), advice)
        }
        _ => return None,
    })
}

/// A snapshot of one file system should hold both.
fn judge_devices(data_dir: &Path) -> Option<Check> {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let (of_store, of_ledger) = (device(data_dir)?, device(&data_dir.join("ledger"))?);
    let said = "the ledger is on another file system than the store";
    let advice = "back both up at the same moment: a store with another ledger does not start";
    (of_store != of_ledger).then(|| Check::warning(NAME, said, advice))
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn room_is_judged_by_what_is_written_in_a_week() {
        for (free, a_day, outcome) in [
            (LEAST - 1, 0, Outcome::Failed),
            (LEAST, 0, Outcome::Warning),
            (ENOUGH, 0, Outcome::Ok),
            (ENOUGH, ENOUGH / 6, Outcome::Warning),
            (ENOUGH, u64::MAX, Outcome::Warning),
        ] {
            let a_day = a_day.min(u64::MAX - MIB);
            assert_eq!(judge_room(free, a_day).outcome, outcome, "{free} {a_day}");
        }
    }

    #[test]
    fn the_kind_of_disk_is_that_of_the_nearest_mount() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      30 22 0:26 / /data\\040dir rw - nfs4 host:/x rw\n\
                      31 30 0:27 / /data\\040dir/fast rw master:2 - tmpfs tmpfs rw\n\
                      32 31 0:28 / /data\\040dir/fast rw - xfs /dev/vdb rw\n";
        for (path, kind) in [
            ("/var/lib", "ext4"),
            ("/data dir/x", "nfs4"),
            ("/data directory", "ext4"),
            ("/data dir/fast/ledger", "xfs"),
        ] {
            assert_eq!(kind_of(mounts, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(kind_of("nonsense", Path::new("/")), None);
        let outcome = |kind| judge_kind(kind).map(|check| check.outcome);
        assert_eq!((outcome("ext4"), outcome("tmpfs")), (None, Some(Outcome::Failed)));
        assert_eq!((outcome("nfs4"), outcome("overlay")), (Some(Outcome::Warning), Some(Outcome::Warning)));
    }
}
