//! Logs: one line per event on stderr, as text or JSON.

use crate::config::{Log, LogFormat};
use crate::telemetry::{Form, LOG};

/// `RUST_LOG` goes before the configured level.
pub(super) fn start(log: &Log) {
    let form = match log.format {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    LOG.start(form, &log.level);
}
