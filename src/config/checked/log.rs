//! `[log]`.

use crate::config::written;

#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub format: written::LogFormat,
    /// Directives of `tracing`'s filter, known to be valid.
    pub level: String,
}

pub(crate) fn check(log: &written::Log) -> Log {
    Log { format: log.format.value, level: log.level.value.0.clone() }
}
