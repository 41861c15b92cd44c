//! `[retention]`.

use super::seconds;
use crate::config::written;

/// How long what is settled is kept, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub financial: i64,
    pub webhooks: i64,
    pub logs: i64,
}

pub(crate) fn check(retention: &written::Retention) -> Retention {
    let written::Retention { financial, webhooks, logs } = retention;
    Retention {
        financial: seconds(financial.value.0),
        webhooks: seconds(webhooks.value.0),
        logs: seconds(logs.value.0),
    }
}
