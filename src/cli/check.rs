//! `tollgate check`: every mistake of a configuration at once.

use std::path::Path;

use crate::auth::check_pem;
use crate::config::KeySource;

use super::{Failure, load, print};

pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    if let KeySource::PublicKey(pem) = &config.auth.key {
        let algorithms: Result<Vec<_>, _> = config
            .auth
            .algorithms
            .iter()
            .map(|algorithm| crate::auth::parse_algorithm(algorithm.as_str()))
            .collect();
        let checked = algorithms.map_err(|error| error.to_string());
        checked
            .and_then(|algorithms| check_pem(pem.as_bytes(), &algorithms).map_err(|error| error.to_string()))
            .map_err(|error| {
                Failure::BadConfiguration(format!("{}: error: auth.jwt.public_key: {error}", path.display()))
            })?;
    }
    let catalogue = &config.catalogue;
    print(&format!(
        "{}: good: {} routes, {} tiers, {} meters\n",
        path.display(),
        catalogue.routes.iter().count(),
        catalogue.tiers.len(),
        catalogue.meters.len()
    ))
}
