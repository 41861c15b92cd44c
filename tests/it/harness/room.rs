//! Small file systems for a gateway's data, in a mount namespace of their own, which can be filled up.
//!
//! A process that sleeps holds the namespace, so that the files outlive the gateway; they go when it does.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is mounted.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// Everything in `data_dir` together.
    Together { mebibytes: u32 },
    /// The ledger's segments apart from the store.
    Apart { store_mebibytes: u32, ledger_mebibytes: u32 },
}

pub struct Room {
    holder: Child,
    /// Whether this user needed a user namespace as well.
    as_user: bool,
}

impl Room {
    /// Whether this machine lets its users mount.
    pub fn is_allowed() -> bool {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::mount(&folder.path().join("try"), Sizes::Together { mebibytes: 1 }).is_some()
    }

    /// Mounts at `data_dir`; none where the machine forbids it.
    pub fn mount(data_dir: &Path, sizes: Sizes) -> Option<Self> {
        fs::create_dir_all(data_dir).expect("a temporary folder");
        let at = data_dir.display();
        let mount = |size: u32, at: String| format!("mount -t tmpfs -o size={size}m,mode=0700 tmpfs '{at}'");
        let script = match sizes {
            Sizes::Together { mebibytes } => mount(mebibytes, at.to_string()),
            Sizes::Apart { store_mebibytes, ledger_mebibytes } => format!(
                "{} && mkdir '{at}/ledger' && {}",
                mount(store_mebibytes, at.to_string()),
                mount(ledger_mebibytes, format!("{at}/ledger"))
            ),
        };
        let script = format!("{script} && echo mounted && exec sleep 86400");
        [false, true].into_iter().find_map(|as_user| Self::hold(&script, as_user))
    }

    fn hold(script: &str, as_user: bool) -> Option<Self> {
        let user: &[&str] = if as_user { &["--user", "--map-root-user"] } else { &[] };
        let holder = Command::new("unshare")
            .args(user)
            .args(["--mount", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut room = Self { holder: holder.ok()?, as_user };
        let mut said = String::new();
        BufReader::new(room.holder.stdout.take()?).read_line(&mut said).ok()?;
        (said.trim() == "mounted").then_some(room)
    }

    /// A program that runs in here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.id().to_string()).arg("--mount");
        if self.as_user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Where a path of the inside is seen from outside.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(inside.strip_prefix("/").expect("an absolute path"))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Takes all the room that is left where `folder` is.
pub fn fill(folder: &Path) {
    let mut filler = File::options().create(true).append(true).open(folder.join("filler")).expect("a file");
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0; size];
        while filler.write_all(&block).is_ok() {}
    }
}

/// Gives it back.
pub fn make_room(folder: &Path) {
    fs::remove_file(folder.join("filler")).expect("it was full");
}
