//! Sandbox mode: the local Stripe runs beside the gateway, sells the configured tiers and sends its webhooks here.

use std::sync::Arc;

use rust_decimal::Decimal;
use tokio::runtime::Runtime;

use crate::config::{Config, Mode};
use crate::domain::catalogue::{Catalogue, Report};
use crate::domain::tier::Tier;
use crate::domain::units::MeterId;
use crate::sandbox::{self, Options, Sandbox, SeedTier, WebhookEndpoint};

use super::ServerError;

/// Prices are called `price_demo_<tier>_monthly`, `_yearly` and `_<meter>`.
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
    let paid = |tier: &&Arc<Tier>| tier.price.monthly.is_some() || tier.price.yearly.is_some();
    sandbox::Catalogue {
        currency: catalogue.currency.code().to_owned(),
        event_name: catalogue.meter(meter).stripe_event_name.to_string(),
        meter: catalogue.meter(meter).name.to_string(),
        tiers: catalogue.tiers.iter().filter(paid).map(|tier| seed_tier(catalogue, tier, meter)).collect(),
        id_prefix: Some(PRICE_PREFIX.to_owned()),
    }
}

fn seed_tier(catalogue: &Catalogue, tier: &Tier, meter: MeterId) -> SeedTier {
    let minor = Decimal::from(10u32.pow(catalogue.currency.decimals()));
    let flat = |amount: Option<Decimal>| {
        let amount = amount.filter(|_| meter.index() == 0)?;
        u64::try_from((amount * minor).round()).ok()
    };
    SeedTier {
        name: tier.name.to_string(),
        monthly_cents: flat(tier.price.monthly),
        yearly_cents: flat(tier.price.yearly),
        included: match catalogue.report {
            Report::All => tier.included(meter).units(),
            Report::Overage => 0,
        },
        overage_cents: tier.charges(meter).map(|amount| (amount * minor).normalize().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    /// Two meters, one of them called otherwise at Stripe.
    const SOLD: &str = r#"
        [server]
        listen = "127.0.0.1:8080"
        data_dir = "data"
        public_url = "http://127.0.0.1:8080"
        [auth.jwt]
        algorithms = ["HS256"]
        secret = "only-for-tests-0123456789-0123456789"
        [upstreams.api]
        servers = ["127.0.0.1:9000"]
        [meters.calls]
        stripe_event_name = "api_calls"
        [meters.bytes]
        [[routes]]
        path = "/"
        cost = { calls = 1, bytes = 1 }
        [tiers.pro]
        price = { yearly = "990.00" }
        included = { calls = 10, bytes = "unlimited" }
        overage = { unit_amount = { calls = "0.02", bytes = "0.01" } }
        [tiers.max]
        price = { monthly = "99.00" }
        included = { calls = 10 }
        overage = { unit_amount = { calls = "0.02", bytes = "0.01" } }
        [billing]
        currency = "usd"
        [stripe]
        mode = "sandbox"
    "#;

    #[test]
    fn included_units_that_are_not_reported_are_not_free_at_stripe_once_more() {
        let overage = SOLD.replace("[billing]", "[billing]\nreport = \"overage\"");
        let config = config::parse(&overage, Path::new("sold.toml"), &|_| None).expect("a configuration");
        let calls = config.catalogue.meter_ids().next().expect("a meter");
        let seed = catalogue(&config.catalogue, calls);
        assert!(seed.tiers.iter().all(|tier| tier.included == 0), "{seed:?}");
    }

    #[test]
    fn every_cycle_and_meter_of_a_tier_has_its_price() {
        let config = config::parse(SOLD, Path::new("sold.toml"), &|_| None).expect("a configuration");
        let seeds = config.catalogue.meter_ids().map(|meter| catalogue(&config.catalogue, meter));
        let mut prices = Vec::new();
        for seed in seeds {
            for tier in seed.tiers {
                let sold = [
                    tier.monthly_cents.map(|cents| format!("monthly {cents}")),
                    tier.yearly_cents.map(|cents| format!("yearly {cents}")),
                    tier.overage_cents.map(|cents| format!("{} {cents} above {}", seed.meter, tier.included)),
                ];
                prices.extend(sold.into_iter().flatten().map(|price| format!("{} {price}", tier.name)));
            }
        }
        prices.sort_unstable();
        let all = [
            "max bytes 1 above 0",
            "max calls 2 above 10",
            "max monthly 9900",
            "pro calls 2 above 10",
            "pro yearly 99000",
        ];
        assert_eq!(prices, all);
    }
}
