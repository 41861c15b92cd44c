//! The configuration: by now it has no mistake, but may have warnings.

use crate::config::{AccessLog, Severity};

use super::Site;
use super::check::Check;

const NAME: &str = "configuration";

pub(super) fn check(site: &Site) -> Vec<Check> {
    let config = &site.config;
    let mut checks = vec![Check::ok(NAME, config.extent())];
    let warnings = config.warnings.iter().filter(|found| found.severity != Severity::Error);
    checks.extend(warnings.map(|found| Check::warning(NAME, found.to_string(), "see `tollgate check`")));
    checks.extend(config.access_log.as_ref().and_then(access_log));
    if config.server.admin_token.is_none() {
        let advice = "set server.admin_token: reconcile, sync and keys need it while the gateway runs";
        checks.push(Check::warning(NAME, "/admin is off", advice));
    }
    checks
}

/// Whether its folder is there; the file is made at the start.
fn access_log(log: &AccessLog) -> Option<Check> {
    let folder = log.path.as_ref()?.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let said = format!("access_log.path is in {}, which is no folder", folder.display());
    (!folder.is_dir()).then(|| Check::failed(NAME, said, "make the folder, or write another path"))
}
