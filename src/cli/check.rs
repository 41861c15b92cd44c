//! `tollgate check`: every mistake of a configuration at once.

use std::path::Path;

use super::{Failure, load, print};

pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    let catalogue = &config.catalogue;
    print(&format!(
        "{}: good: {} routes, {} tiers, {} meters\n",
        path.display(),
        catalogue.routes.iter().count(),
        catalogue.tiers.len(),
        catalogue.meters.len()
    ))
}
