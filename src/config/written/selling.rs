//! The words of `[billing]` that are choices.

use serde_json::Value as Json;

use crate::config::read::{Read, Reader};
use crate::config::tree::Node;
use crate::config::values::{choose, one_of};

/// What becomes of the difference when a tier is changed in mid-period
/// (<https://docs.stripe.com/billing/subscriptions/prorations>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proration {
    /// On the next invoice.
    Next,
    /// On an invoice of its own, at once.
    Now,
    None,
}

impl Proration {
    /// Stripe's `proration_behavior`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "create_prorations",
            Self::Now => "always_invoice",
            Self::None => "none",
        }
    }
}

impl Read for Proration {
    fn schema() -> Json {
        one_of(&["create_prorations", "always_invoice", "none"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let words = [Self::Next, Self::Now, Self::None].map(|word| (word.as_str(), word));
        choose(node, reader, &words)
    }
}

/// Whether Stripe's events change anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookMode {
    Primary,
    /// They are verified and compared with what is known; another handler acts.
    Shadow,
}

impl Read for WebhookMode {
    fn schema() -> Json {
        one_of(&["primary", "shadow"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("primary", Self::Primary), ("shadow", Self::Shadow)])
    }
}
