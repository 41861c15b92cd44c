//! What `[billing]` says of selling: the words that are choices, and the usage page.

use serde_json::Value as Json;

use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::text::Text;
use crate::config::values::url::Url;
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

#[derive(Debug)]
pub(crate) struct Page {
    pub title: At<Text>,
    pub app_url: Given<Url>,
}

impl Section for Page {
    const ABOUT: &'static str = "The usage page: what customers see at billing.paths.prefix in a browser.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            title: keys.or("title", "What the API is called there.", "API"),
            app_url: keys.optional("app_url", "Where its link back to your app leads; left out: no link."),
        }
    }
}
