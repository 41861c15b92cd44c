//! Sandbox mode: the local Stripe runs beside the gateway, sells the configured tiers and sends its webhooks here.

use rust_decimal::Decimal;
use tokio::runtime::Runtime;

use crate::config::{Config, Mode};
use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Allowance, Overage, Tier};
use crate::domain::units::MeterId;
use crate::sandbox::{self, Options, Sandbox, SeedTier, WebhookEndpoint};

use super::ServerError;

/// Prices are called `price_demo_<tier>_monthly`, `_yearly` and `_<event name>`.
const PRICE_PREFIX: &str = "demo";

/// None in live mode.
pub(super) fn start(config: &Config, runtime: &Runtime) -> Result<Option<Sandbox>, ServerError> {
    let Mode::Sandbox { listen } = config.stripe.mode else { return Ok(None) };
    let mut gateway = config.server.listen[0];
    if gateway.ip().is_unspecified() {
        gateway.set_ip([127, 0, 0, 1].into());
    }
    let webhooks = config.stripe.webhook_secrets.first().map(|secret| WebhookEndpoint {
        url: format!("http://{gateway}{}", config.billing.paths.webhook),
        secret: secret.expose().to_owned(),
    });
    let options = Options { listen, webhooks: webhooks.into_iter().collect(), ..Options::default() };
    let sandbox = runtime
        .block_on(Sandbox::start(options))
        .map_err(|error| ServerError::Listen { address: listen, error })?;
    tracing::warn!(
        address = %listen,
        "stripe.mode is sandbox: nothing is billed, and what it knows is gone at a restart"
    );
    for meter in config.catalogue.meter_ids() {
        let seed = catalogue(&config.catalogue, meter);
        sandbox.seed(&seed).map_err(|error| ServerError::Sandbox(format!("{error:?}")))?;
    }
    Ok(Some(sandbox))
}

/// What is sold by one meter. The flat prices come with the first one.
fn catalogue(catalogue: &Catalogue, meter: MeterId) -> sandbox::Catalogue {
    let paid = catalogue.tiers.iter().filter(|tier| meter.index() == 0 && tier.price.monthly.is_some());
    sandbox::Catalogue {
        currency: catalogue.currency.code().to_owned(),
        event_name: catalogue.meter(meter).stripe_event_name.to_string(),
        tiers: paid.map(|tier| seed_tier(catalogue, tier, meter)).collect(),
        id_prefix: Some(PRICE_PREFIX.to_owned()),
    }
}

fn seed_tier(catalogue: &Catalogue, tier: &Tier, meter: MeterId) -> SeedTier {
    let minor = Decimal::from(10u32.pow(catalogue.currency.decimals()));
    let whole = |amount: Decimal| u64::try_from((amount * minor).round()).unwrap_or(0);
    SeedTier {
        name: tier.name.to_string(),
        monthly_cents: tier.price.monthly.map_or(0, whole),
        yearly_cents: tier.price.yearly.map(whole),
        included: match tier.included(meter) {
            Allowance::Units(units) => units,
            Allowance::Unlimited => 0,
        },
        overage_cents: match &tier.overage {
            Overage::Deny => None,
            Overage::Priced { unit_amounts, .. } => {
                unit_amounts.get(meter.index()).map(|amount| (amount * minor).normalize().to_string())
            }
        },
    }
}
