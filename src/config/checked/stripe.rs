//! `[stripe]`.

use std::net::SocketAddr;

use crate::config::findings::Findings;
use crate::config::read::Given;
use crate::config::values::secret::Secret;
use crate::config::values::url::Url;
use crate::config::written;

#[derive(Clone, Debug, PartialEq)]
pub struct Stripe {
    pub mode: Mode,
    pub secret_key: Secret,
    /// At least one.
    pub webhook_secrets: Vec<Secret>,
    /// Without a trailing slash.
    pub api_base: String,
    pub max_requests_per_second: u32,
    pub meter_events_per_second: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Live,
    /// The local Stripe listens here, which is also `api_base`.
    Sandbox {
        listen: SocketAddr,
    },
}

/// The local Stripe's key, where the file names none.
pub const SANDBOX_SECRET_KEY: &str = "sk_test_tollgate_sandbox";
/// What the local Stripe signs its webhooks with, where the file names nothing.
pub const SANDBOX_WEBHOOK_SECRET: &str = "whsec_tollgate_sandbox";

const LIVE_API_BASE: &str = "https://api.stripe.com";

pub(crate) fn check(stripe: &written::Stripe, found: &mut Findings) -> Option<Stripe> {
    let listen = stripe.sandbox_listen.value;
    let (mode, api_base) = match stripe.mode.value {
        written::Mode::Live => {
            check_live(stripe, found);
            (Mode::Live, stripe.api_base.get().map_or(LIVE_API_BASE.to_owned(), Url::to_text))
        }
        written::Mode::Sandbox => {
            check_sandbox(stripe, found);
            (Mode::Sandbox { listen }, format!("http://{listen}"))
        }
    };
    let webhook_secrets = match &stripe.webhook_secrets {
        Given::Value(secrets) => secrets.value.0.iter().map(|secret| secret.value.clone()).collect(),
        Given::LeftOut | Given::Wrong => vec![Secret::new(SANDBOX_WEBHOOK_SECRET)],
    };
    Some(Stripe {
        mode,
        secret_key: stripe.secret_key.get().cloned().unwrap_or_else(|| Secret::new(SANDBOX_SECRET_KEY)),
        webhook_secrets,
        api_base,
        max_requests_per_second: u32::try_from(stripe.max_requests_per_second.value.0).ok()?,
        meter_events_per_second: u32::try_from(stripe.meter_events_per_second.value.0).ok()?,
    })
}

fn check_live(stripe: &written::Stripe, found: &mut Findings) {
    let trial = "or mode = \"sandbox\" for a trial without an account";
    if stripe.secret_key.is_left_out() {
        let help = format!("add `secret_key = \"${{STRIPE_SECRET_KEY}}\"`, {trial}");
        found.error(&stripe.place.child("secret_key"), "missing", help);
    }
    if stripe.webhook_secrets.is_left_out() {
        let help = format!("add `webhook_secrets = [\"${{STRIPE_WEBHOOK_SECRET}}\"]`, {trial}");
        found.error(&stripe.place.child("webhook_secrets"), "missing", help);
    }
    if let Some(base) = stripe.api_base.at().filter(|base| base.value.is_plain_beyond_loopback()) {
        let what = "the secret key would travel over plain http";
        found.warning(&base.place, what, "write an https URL, unless this is a test");
    }
}

fn check_sandbox(stripe: &written::Stripe, found: &mut Findings) {
    if let Some(base) = stripe.api_base.at() {
        let what = "in sandbox mode Stripe is always the local one";
        found.error(&base.place, what, "leave it out, or set `sandbox_listen`");
    }
}
