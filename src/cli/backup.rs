//! `tollgate backup`: ledger and store in a folder, as a kill at one moment would have left them.
//!
//! The store is copied first, and then the ledger: the store may count nothing that the ledger's copy does not hold,
//! while what the ledger holds beyond it is counted when it is restored. So nothing has to stand still meanwhile; only
//! those whom such records name are added to the store's copy. That takes its place last: until then the folder holds
//! the backup before, with a longer ledger.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::clock;
use crate::domain::period::rfc3339;
use crate::ledger::{self, Disk, LedgerId, Storage, Survey};
use crate::store::{self, Backup};

use super::output::{facts, progress};
use super::{Failure, load, print};

#[derive(clap::Args)]
pub(super) struct BackUp {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder that gets it; made where there is none. One that holds an earlier backup gets what is new
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl BackUp {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let data_dir = &config.server.data_dir;
        let to = &self.to;
        let unusable = || format!("the folder {} cannot be used", to.display());
        // Customers and their use are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(to).with_context(unusable)?;
        let _lock = lock(to).with_context(unusable)?;
        let before = earlier(to)?;
        let copy = to.join("tollgate.db.new");
        remove(&copy).with_context(unusable)?;
        let made = store::back_up(data_dir, &copy, clock::now().seconds())?;
        if before.is_some_and(|before| before.ledger != made.ledger) {
            return Err(
                anyhow!("{} holds the backup of another ledger: name another folder", to.display()).into()
            );
        }
        let survey = survey(&data_dir.join("ledger"), &made)?;
        store::add_numbered_since(data_dir, &copy)?;
        let there = Disk::open(to.join("ledger")).with_context(unusable)?;
        let bytes = survey.segments().iter().map(|segment| segment.length).sum();
        let bar = progress(bytes);
        ledger::copy(&survey, &there, |copied| bar.inc(copied))?;
        bar.finish_and_clear();
        check(&to.join("ledger"), &made)?;
        File::open(&copy).and_then(|file| file.sync_all()).with_context(unusable)?;
        fs::rename(&copy, to.join("tollgate.db")).with_context(unusable)?;
        File::open(to).and_then(|folder| folder.sync_all()).with_context(unusable)?;
        ledger::forget_before(&survey, &there).with_context(unusable)?;
        self.tell(&made, there.list()?.len(), bytes)
    }

    fn tell(&self, made: &Backup, segments: usize, bytes: u64) -> Result<(), Failure> {
        let (made_at, id) = (rfc3339(made.made_at), LedgerId(made.ledger).to_string());
        let counted = made.folded.2;
        if self.json {
            let report = json!({
                "made_at": made_at, "ledger": id, "segments": segments, "ledger_bytes": bytes, "next_record": counted,
            });
            return print(&format!("{report}\n"));
        }
        print(&facts(&[
            ("backup of", made_at),
            ("in", self.to.display().to_string()),
            ("ledger", id),
            ("segments", format!("{segments}, {bytes} bytes")),
        ]))
    }
}

/// One backup at a time into one folder.
fn lock(to: &Path) -> anyhow::Result<File> {
    let file = File::create(to.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(anyhow!("another backup is being made there")),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The backup that the folder holds; an error when it holds a store that is none.
fn earlier(to: &Path) -> Result<Option<Backup>, Failure> {
    if to.join("tollgate.db").exists() { Ok(Some(Backup::of(to)?)) } else { Ok(None) }
}

fn survey(folder: &Path, made: &Backup) -> anyhow::Result<Survey> {
    let unreadable = || format!("the ledger {} cannot be read", folder.display());
    let disk = Disk::open_read_only(folder).with_context(unreadable)?;
    Survey::new(Arc::new(disk), LedgerId(made.ledger)).with_context(unreadable)
}

/// Whether the ledger's copy reaches what the store's copy has counted.
fn check(folder: &Path, made: &Backup) -> anyhow::Result<()> {
    let (segment, offset, _) = made.folded;
    let copy = survey(folder, made)?;
    let is_there = copy.segments().iter().any(|found| found.number == segment && found.length >= offset);
    if segment == 0 || is_there {
        return Ok(());
    }
    Err(anyhow!(
        "segment {segment:016}.seg is missing or too short in data_dir: see `tollgate ledger verify`"
    ))
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
