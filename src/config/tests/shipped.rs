//! The files in `config/` load, say what they should, and tell the truth about defaults.

use std::path::Path;

use serde_json::Value as Json;

use super::super::{Mode, parse, schema};
use crate::config::{Config, DEMO};
use crate::domain::path::NormalPath;
use crate::domain::route::Found;
use crate::domain::tier::{Allowance, Overage};
use crate::domain::units::MeterId;

const REFERENCE: &str = include_str!("../../../config/tollgate.toml");

/// The reference with its last sections, and the tables of an upstream, which stand in comments.
fn reference() -> String {
    let (before, optional) = REFERENCE.split_once("\n# [cors]").expect("sections in comments");
    let before = ["health_check = ", "eject = "]
        .iter()
        .fold(before.to_owned(), |text, key| text.replace(&format!("\n# {key}"), &format!("\n{key}")));
    // Beside sections and keys there are sentences.
    let shown = optional.lines().map(|line| match line.strip_prefix("# ") {
        Some(shown) if shown.starts_with('[') || shown.contains(" = ") => shown,
        _ => line,
    });
    format!("{before}\n[cors]{}\n", shown.collect::<Vec<_>>().join("\n"))
}

fn environment(name: &str) -> Option<String> {
    let known = [
        "TOLLGATE_ADMIN_TOKEN",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "JWT_SECRET",
        "REDIS_PASSWORD",
        "TOLLGATE_NODE",
    ];
    known.contains(&name).then(|| format!("{name}-0123456789abcdef0123456789abcdef"))
}

fn load(text: &str) -> Config {
    match parse(text, Path::new("config/shipped.toml"), &environment) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
fn both_files_load_without_a_warning() {
    for text in [DEMO, REFERENCE] {
        assert_eq!(load(text).warnings, []);
    }
}

#[test]
fn the_reference_of_a_fleet_says_what_it_needs() {
    // The one file that it names is not shipped.
    let text = reference().replace("redis_ca = ", "# redis_ca = ");
    let config = load(&text);
    assert_eq!(config.warnings, []);
    let fleet = config.fleet.expect("a section");
    assert!(fleet.redis.tls && fleet.redis.password.is_some());
    assert_eq!(fleet.redis.user.as_deref(), Some("tollgate"));
    assert_eq!(
        load(REFERENCE).fleet.map(|fleet| fleet.node),
        None,
        "one gateway alone, unless it is taken in"
    );
}

#[test]
fn both_files_sell_the_same_tiers_and_routes() {
    for text in [DEMO, REFERENCE] {
        let catalogue = load(text).catalogue;
        assert_eq!(catalogue.currency.code(), "usd");
        assert_eq!(&*catalogue.meters[0].name, "api_calls");
        let tiers = catalogue.tiers.iter().map(|tier| {
            let monthly = tier.price.monthly.map(|price| price.to_string());
            let overage = match &tier.overage {
                Overage::Deny => None,
                Overage::Priced { unit_amounts, .. } => Some(unit_amounts[0].to_string()),
            };
            (tier.name.to_string(), monthly, tier.included(MeterId(0)), overage)
        });
        let tier = |name: &str, monthly: &str, included, overage: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            (name.to_owned(), given(monthly), Allowance::Units(included), given(overage))
        };
        let expected = [
            tier("free", "", 100, ""),
            tier("starter", "29.00", 1_000, "0.03"),
            tier("pro", "99.00", 10_000, "0.02"),
            tier("enterprise", "499.00", 100_000, "0.01"),
        ];
        assert_eq!(tiers.collect::<Vec<_>>(), expected);
        assert_eq!(catalogue.default_tier, Some(catalogue.tiers[0].id));
        for (path, cost) in
            [("/signals", 1), ("/signals/history/AAPL", 2), ("/export/csv", 3), ("/export/pdf", 5)]
        {
            let path = NormalPath::parse(path).expect("a path");
            let Found::Route(route) = catalogue.routes.find(&path, &http::Method::GET) else {
                panic!("{path:?}")
            };
            assert_eq!(route.cost.iter().collect::<Vec<_>>(), [(MeterId(0), cost)], "{path:?}");
        }
    }
}

#[test]
fn the_demo_stays_on_this_machine() {
    let config = load(DEMO);
    let Mode::Sandbox { listen } = config.stripe.mode else { panic!("the demo must not talk to Stripe") };
    assert_eq!(config.stripe.api_base, format!("http://{listen}"));
    let addresses = config.server.listen.iter().chain([&config.server.admin_listen, &listen]);
    assert!(addresses.into_iter().all(|address| address.ip().is_loopback()));
    let catalogue = &config.catalogue;
    for tier in catalogue.tiers.iter().skip(1) {
        let sold = ["monthly", "yearly", "api_calls"].map(|what| format!("price_demo_{}_{what}", tier.name));
        assert_eq!(tier.stripe_prices, sold);
    }
    assert!(!catalogue.credit_packs.is_empty());
    assert_eq!(catalogue.tiers[0].rate.map(crate::domain::rate::Rate::burst), Some(200));
}

/// Calls `visit` with every key of the schema: its dotted path, its name and its default.
fn each_key(schema: &Json, path: &str, visit: &mut dyn FnMut(&str, &str, Option<&Json>)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let key = format!("{path}/{name}");
        visit(&key, name, property.get("default"));
        each_key(property, &key, visit);
    }
    let nested = schema["anyOf"].as_array().into_iter().flatten();
    let inside = nested.chain([&schema["additionalProperties"], &schema["items"]]);
    for inside in inside.filter(|inside| inside.is_object()) {
        each_key(inside, &format!("{path}/*"), visit);
    }
}

#[test]
fn the_reference_shows_every_key() {
    each_key(&schema(), "", &mut |key, name, _| {
        let shown = [format!("{name} = "), format!("{name}."), format!("{name}]")];
        assert!(shown.iter().any(|shown| REFERENCE.contains(shown)), "{key} is not in tollgate.toml");
    });
}

#[test]
fn the_reference_shows_the_defaults_that_hold_when_left_out() {
    let reference: Json = toml::from_str(&reference()).expect("valid TOML");
    let mut checked = 0;
    each_key(&schema(), "", &mut |key, _, default| {
        let key = key.replace("/upstreams/*", "/upstreams/api");
        // Lists of tables are shown by an entry that is commented out.
        let lists = ["/credit_packs", "/webhooks"];
        // They name files or tiers that are not there, or are shown by example.
        let optional = ["/routes_default", "/server/tls/", "/auth/anonymous/", "/headers/"];
        let of_one = !key.contains('*')
            && !optional.iter().any(|section| key.starts_with(section))
            && !lists.contains(&key.as_str());
        let (Some(default), true) = (default, of_one) else { return };
        assert_eq!(reference.pointer(&key), Some(default), "{key}");
        checked += 1;
    });
    assert!(checked >= 30, "only {checked} defaults were compared");
}
