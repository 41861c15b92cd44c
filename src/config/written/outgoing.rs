//! `[[webhooks]]`.

use crate::config::findings::At;
use crate::config::read::{Given, Keys, Section};
use crate::config::values::secret::Secret;
use crate::config::values::text::{Name, Text};
use crate::config::values::url::Url;

#[derive(Debug)]
pub(crate) struct Webhook {
    pub name: Given<Name>,
    pub url: Given<Url>,
    pub secret: Given<Secret>,
    pub types: At<Vec<At<Text>>>,
}

impl Section for Webhook {
    const ABOUT: &'static str = "[[webhooks]]: who is told what happens to customers; signed and retried.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            name: keys.required("name", "What the log of deliveries calls it."),
            url: keys.required("url", "Where messages are sent; https, but for loopback."),
            secret: keys.required("secret", "What they are signed with; at least 16 bytes."),
            types: keys.or("types", "Which ones, such as \"tier.changed\"; \"*\" is all.", ["*"]),
        }
    }
}
