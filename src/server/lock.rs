//! One gateway per `data_dir`: the kernel's lock on a file, which ends with the process however it ends.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use super::ServerError;

#[derive(Clone)]
pub(super) struct Lock {
    file: Arc<File>,
}

impl Lock {
    /// Makes `data_dir` if there is none.
    pub fn take(data_dir: &Path) -> Result<Self, ServerError> {
        let unusable = |error| ServerError::DataDir { path: data_dir.to_owned(), error };
        // Customers and their use are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable)?;
        let file = File::create(data_dir.join("lock")).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: Arc::new(file) }),
            Err(TryLockError::WouldBlock) => Err(ServerError::Locked(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The lock that another process has, and goes on to have while it lives.
    pub fn inherited(file: File) -> Self {
        Self { file: Arc::new(file) }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
