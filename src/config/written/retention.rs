//! `[retention]`.

use crate::config::findings::At;
use crate::config::read::{Keys, Section};
use crate::config::values::span::Span;

const DAY_MILLIS: u64 = 86_400_000;

#[derive(Debug)]
pub(crate) struct Retention {
    pub financial: At<Span<DAY_MILLIS>>,
    pub webhooks: At<Span<DAY_MILLIS>>,
    pub logs: At<Span<DAY_MILLIS>>,
}

impl Section for Retention {
    const ABOUT: &'static str = "[retention]: how long what is settled is kept.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            financial: keys.or("financial", "Payments, credits, changes of tiers, the audit trail.", "2557d"),
            webhooks: keys.or("webhooks", "Stripe's events.", "365d"),
            logs: keys.or("logs", "Messages sent to others, closed checkouts.", "30d"),
        }
    }
}
