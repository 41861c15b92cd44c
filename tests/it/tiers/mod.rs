//! What the configuration sells is made at Stripe, once, and costs there what it costs here.

mod apply;
mod life;
mod sold;
mod sums;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ended, Stripe, config, tollgate};

/// Sold instead of the usual tiers: two more meters; a tier by month and by year, one by year alone, one whose
/// overage is denied. No price is named by its id.
const SOLD: &str = r#"
    routes = [{ path = "/signals", cost = { api_calls = 1, bytes = 3, tokens = 2 } }]
    [meters.bytes]
    stripe_event_name = "bytes_sent"
    [meters.tokens]
    stripe_event_name = "tokens_used"
    [tiers.free]
    included = { api_calls = 100, bytes = 100, tokens = 100 }
    [tiers.starter]
    [tiers.pro]
    [tiers.team]
    price = { monthly = "29", yearly = "290" }
    included = { api_calls = 1000, bytes = 0, tokens = 1 }
    overage = { unit_amount = { api_calls = "0.03", bytes = "0.0007", tokens = "0.000000000001" } }
    [tiers.max]
    price = { yearly = "990" }
    included = { api_calls = 10000, bytes = "unlimited", tokens = 2 }
    overage = { unit_amount = { api_calls = "0.02", bytes = "1", tokens = "12.5" } }
    [tiers.strict]
    price = { monthly = "5" }
    included = { api_calls = 10, bytes = 10, tokens = 10 }
"#;

/// What is made of that beside the meter `api_calls`, which is there: 2 meters, 3 products, 4 flat prices, 5 metered.
const TO_MAKE: usize = 2 + 3 + 4 + 5;

/// A folder with a configuration for a Stripe.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn of(stripe: &str, over: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let anywhere = config::free_address();
        let addresses = config::Addresses {
            public: anywhere,
            admin: config::free_address(),
            upstream: anywhere,
            stripe: stripe.to_owned(),
        };
        let mut written = config::base(&addresses, &folder.path().join("data"));
        config::merge(&mut written, config::parse(SOLD));
        config::merge(&mut written, config::parse(over));
        let shop = Self { folder };
        std::fs::write(shop.path(), written.to_string()).expect("a writable folder");
        shop
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("tollgate.toml")
    }

    fn tiers(&self, arguments: &[&str]) -> Ended {
        tiers(&self.path(), arguments)
    }
}

/// `tollgate tiers …`
fn tiers(config: &Path, arguments: &[&str]) -> Ended {
    let (folder, config) = (config.parent().expect("a folder"), config.display().to_string());
    tollgate(folder, &[&["tiers"], arguments, &["--config", &config]].concat(), &[])
}

/// One that must end well.
fn done(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    &ended.stdout
}

/// How many meters, products and prices there are at Stripe.
async fn counts(stripe: &Stripe) -> [usize; 3] {
    let mut counts = [0; 3];
    for (at, path) in ["billing/meters", "products", "prices"].iter().enumerate() {
        let list = stripe.get(&format!("/v1/{path}?limit=100")).await;
        assert_eq!(list["has_more"], false);
        counts[at] = list["data"].as_array().expect("a list").len();
    }
    counts
}

/// The price that has a lookup key.
async fn price(stripe: &Stripe, key: &str) -> Value {
    let list = stripe.get(&format!("/v1/prices?lookup_keys[]={key}&expand[]=data.tiers")).await;
    let prices = list["data"].as_array().expect("a list");
    assert_eq!(prices.len(), 1, "{key}: {list}");
    prices[0].clone()
}
