//! A `data_dir` made of a backup.
//!
//! It becomes another ledger, under another id: what the gateway before has sent since the backup has names that this
//! one must not give to anything else. What that one may have sent is noted before anything can be sent again
//! ([`crate::store::Restored`]). It is made aside, and put in its place when it is whole.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock;
use crate::config::Config;
use crate::ledger::{CopyError, Disk, LedgerId, Survey, copy_as};
use crate::store::{self, Backup, Restored, Store, StoreError};

use super::ServerError;
use super::build::{self, State};
use super::lock::Lock;

/// Why nothing was restored; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(
        "a node of a fleet is not restored: start it with an empty data_dir, and the others report what it had not \
         sent. Where all nodes and their Redis are gone leave [fleet] out, restore each, and let them join once \
         nothing of `tollgate outbox list` is pending: what each had not sent, of which Stripe's sums cannot tell \
         whose it is, is dead by then, and yours to settle"
    )]
    InFleet,
    #[error("data_dir {0} holds a ledger or a store: move them away, or name an empty data_dir")]
    NotEmpty(PathBuf),
    #[error(
        "{path} is in the way ({error}): take the mount or the link away, restore, and move what is in that folder \
         then to where it shall be"
    )]
    InTheWay { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("data_dir cannot be made: {0}")]
    Io(#[from] io::Error),
}

/// Fills the configuration's `data_dir`, which holds nothing, with what a backup holds. `copied` hears of the ledger's
/// bytes that are done with.
pub fn restore(
    config: &Config,
    from: &Path,
    copied: impl FnMut(u64),
) -> Result<(Backup, LedgerId, Restored), RestoreError> {
    if config.fleet.is_some() {
        return Err(RestoreError::InFleet);
    }
    let backup = Backup::of(from)?;
    let data_dir = &config.server.data_dir;
    let _lock = Lock::take(data_dir)?;
    refuse_unless_empty(data_dir)?;
    let aside = data_dir.join("restoring");
    remove(&aside)?;
    DirBuilder::new().mode(0o700).create(&aside)?;
    let ledger = build::fresh_ledger_id()?;
    fs::copy(from.join("tollgate.db"), aside.join("tollgate.db"))?;
    store::adopt(&aside, ledger.0)?;
    let source = Disk::open_read_only(from.join("ledger"))?;
    let survey = Survey::new(Arc::new(source), LedgerId(backup.ledger))?;
    copy_as(&survey, &Disk::open(aside.join("ledger"))?, ledger, copied)?;
    let restored = note(config, &aside, backup.made_at)?;
    put_in_place(&aside, data_dir)?;
    Ok((backup, ledger, restored))
}

/// Folds what the ledger holds beyond the store, so that all of it is known, and notes what may have been sent, and
/// since when.
fn note(config: &Config, aside: &Path, made_at: i64) -> Result<Restored, RestoreError> {
    let mut there = config.clone();
    aside.clone_into(&mut there.server.data_dir);
    Store::open(aside)?.note_reached()?;
    let state = State::caught_up(&there, false)?;
    let restored = state.store.note_restored(made_at, clock::now().seconds())?;
    state.ledger.close();
    Ok(restored)
}

/// The ledger's folder is removed: what makes that impossible, such as a mount, would be in the way at the end.
fn refuse_unless_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let not_empty = || RestoreError::NotEmpty(data_dir.to_owned());
    if data_dir.join("tollgate.db").exists() || data_dir.join("tollgate.db-wal").exists() {
        return Err(not_empty());
    }
    let ledger = data_dir.join("ledger");
    match fs::remove_dir(&ledger) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Err(not_empty()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RestoreError::InTheWay { path: ledger, error })
        }
        _ => Ok(()),
    }
}

/// The ledger first: without its store nothing starts on it, and a store without its ledger is refused too.
fn put_in_place(aside: &Path, data_dir: &Path) -> io::Result<()> {
    fs::rename(aside.join("ledger"), data_dir.join("ledger"))?;
    for file in ["tollgate.db-wal", "tollgate.db-shm", "tollgate.db"] {
        match fs::rename(aside.join(file), data_dir.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && file != "tollgate.db" => {}
            moved => moved?,
        }
    }
    File::open(data_dir)?.sync_all()?;
    remove(aside)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
