//! One gateway per `data_dir`: the kernel's lock on a file, which ends with the process however it ends.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::ServerError;

pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes `data_dir` if there is none.
    pub fn take(data_dir: &Path) -> Result<Self, ServerError> {
        let unusable = |error| ServerError::DataDir { path: data_dir.to_owned(), error };
        // Customers and their use are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable)?;
        let file = File::create(data_dir.join("lock")).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ServerError::Locked(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}
