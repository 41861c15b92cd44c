//! Files as they were when they were read, to find out that they are others now.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file at one instant. Links are followed: another file behind the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub path: PathBuf,
    /// `None`: there was none.
    stamp: Option<Stamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    length: u64,
    modified: (i64, i64),
}

impl Seen {
    pub(super) fn new(path: &Path) -> Self {
        let stamp = std::fs::metadata(path).ok().map(|found| Stamp {
            device: found.dev(),
            number: found.ino(),
            length: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        });
        Self { path: path.to_owned(), stamp }
    }

    /// The same file now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::new(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_replaced_or_removed_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let none = Seen::new(&path);
        std::fs::write(&path, "one").expect("a file");
        let one = none.again();
        assert!(none != one && one == one.again());
        std::fs::write(&path, "more").expect("a file");
        let written = one.again();
        assert_ne!(one, written);
        std::fs::write(folder.path().join("other"), "more").expect("a file");
        std::fs::rename(folder.path().join("other"), &path).expect("it is replaced");
        assert_ne!(written, written.again());
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(written.again(), none);
    }
}
