//! The configuration that every world starts from, and what is sold at the local Stripe.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tollgate::sandbox::{Catalogue, SeedTier};
use toml::{Table, Value};

pub const SECRET: &str = "only-for-tests-0123456789-0123456789";
pub const ADMIN_TOKEN: &str = "only-for-tests-admin-token";
pub const WEBHOOK_SECRET: &str = "whsec_only_for_tests";

/// Where everything listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub upstream: SocketAddr,
    pub stripe: String,
}

/// What every world is configured with; tests merge their own TOML over it.
pub fn base(addresses: &Addresses, data_dir: &Path) -> Table {
    let Addresses { public, admin, upstream, stripe } = addresses;
    let data_dir = data_dir.display();
    let text = format!(
        r#"
        [server]
        listen = "{public}"
        admin_listen = "{admin}"
        admin_token = "{ADMIN_TOKEN}"
        threads = 2
        data_dir = "{data_dir}"
        public_url = "http://{public}"
        max_body = "64KiB"
        drain_timeout = "10s"

        [auth.jwt]
        algorithms = ["HS256"]
        secret = "{SECRET}"
        stripe_customer_claim = "stripe_customer_id"
        member_claim = "member"

        [upstreams.api]
        servers = ["{upstream}"]

        [meters.api_calls]

        [billing]
        currency = "usd"
        flush_interval = "200ms"
        webhook_rate = "1000/s"
        read_rate = "10000/s"
        write_rate = "1000/s"

        [stripe]
        mode = "live"
        secret_key = "sk_test_x"
        webhook_secrets = ["{WEBHOOK_SECRET}"]
        api_base = "{stripe}"
        "#
    );
    let mut table = parse(&text);
    merge(&mut table, parse(ROUTES));
    merge(&mut table, parse(TIERS));
    table
}

const ROUTES: &str = r#"
    routes = [
        { path = "/signals", methods = ["GET", "POST"], cost = 1 },
        { path = "/signals/history/{symbol}", cost = 2 },
        { path = "/export/csv", cost = 3 },
        { path = "/export/pdf", cost = 5 },
        { path = "/premium", cost = 1, requires = ["premium"] },
        { path = "/free", cost = 0 },
        { path = "/health", public = true },
    ]
"#;

const TIERS: &str = r#"
    [tiers.free]
    default = true
    included = { api_calls = 100 }
    overage = "deny"

    [tiers.starter]
    price = { monthly = "29.00" }
    stripe_prices = ["price_it_starter_monthly", "price_it_starter_api_calls"]
    included = { api_calls = 1000 }
    overage = { unit_amount = { api_calls = "0.03" } }

    [tiers.pro]
    price = { monthly = "99.00", yearly = "990.00" }
    stripe_prices = ["price_it_pro_monthly", "price_it_pro_yearly", "price_it_pro_api_calls"]
    included = { api_calls = 10000 }
    overage = { unit_amount = { api_calls = "0.02" } }
    features = ["premium"]
    limits = { positions = 50, seats = "unlimited" }
"#;

/// What one request of a path costs.
pub fn cost_of(path: &str) -> u64 {
    match path {
        path if path.starts_with("/signals/history/") => 2,
        "/export/csv" => 3,
        "/export/pdf" => 5,
        "/free" | "/health" => 0,
        path if path.starts_with("/billing/") || path == "/pricing" => 0,
        _ => 1,
    }
}

/// The paid tiers as the local Stripe sells them.
pub fn sold() -> Catalogue {
    let tier = |name: &str, monthly_cents, yearly_cents, included, overage: &str| SeedTier {
        name: name.to_owned(),
        monthly_cents: Some(monthly_cents),
        yearly_cents,
        included,
        overage_cents: Some(overage.to_owned()),
    };
    Catalogue {
        currency: "usd".to_owned(),
        event_name: "api_calls".to_owned(),
        meter: "api_calls".to_owned(),
        tiers: vec![tier("starter", 2_900, None, 1_000, "3"), tier("pro", 9_900, Some(99_000), 10_000, "2")],
        id_prefix: Some("it".to_owned()),
    }
}

pub fn parse(text: &str) -> Table {
    text.parse().expect("the test's TOML is well-formed")
}

/// Tables are merged, everything else is replaced; an empty table removes what was there.
pub fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(_), Value::Table(new)) if new.is_empty() => drop(base.remove(&key)),
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// An address that nobody listens on. It lies below the ports that the system gives to outgoing connections,
/// so that it stays free between two runs of a gateway, and among those of this process alone: a gateway of other tests
/// on the same port would share its requests.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static MINE: LazyLock<(u16, File)> = LazyLock::new(own_ports);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], MINE.0 + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

const PORTS: u16 = 500;

/// The first of a row of ports that no other process of tests uses, by the lock on a file as long as this one lives.
fn own_ports() -> (u16, File) {
    let folder = std::env::temp_dir();
    let rows = (0..24).map(|row| 20_000 + row * PORTS);
    let taken = |first: u16| {
        let file = File::create(folder.join(format!("tollgate-test-ports-{first}"))).ok()?;
        file.try_lock().ok().map(|()| (first, file))
    };
    rows.into_iter().find_map(taken).expect("fewer than 24 runs at once")
}
