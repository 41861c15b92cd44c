//! `tollgate check`: every mistake of a configuration at once.

use std::path::Path;

use super::{Failure, load, print};

pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    print(&format!("{}: good: {}\n", path.display(), config.extent()))
}
