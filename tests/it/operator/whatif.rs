//! `tollgate whatif`, against gateways that have served the same requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::command;
use crate::harness::{Behaviour, Dice, Ended, World, tollgate};

const PATHS: [&str; 3] = ["/signals", "/signals/history/btc", "/export/csv"];
const CUSTOMERS: [&str; 3] = ["acme", "globex", "initech"];

/// Nothing of it is ever refused.
const OPEN: &str = r#"
    [tiers.free]
    included = { api_calls = "unlimited" }
    rate = "1000000/s"
"#;

/// Limits whose refusals do not depend on how fast requests come: a rate that earns nothing back within a test.
fn random(dice: &mut Dice) -> String {
    let included = dice.below(40);
    let overage = match dice.below(3) {
        0 => r#""deny""#.to_owned(),
        1 => r#"{ unit_amount = { api_calls = "0.03" } }"#.to_owned(),
        _ => format!(r#"{{ unit_amount = {{ api_calls = "0.07" }}, cap = "0.{:02}" }}"#, 1 + dice.below(99)),
    };
    let rate = if dice.percent(50) { format!("{}/d", 1 + dice.below(25)) } else { "1000000/s".to_owned() };
    let (one, two, three) = (dice.below(4), 1 + dice.below(6), 1 + dice.below(9));
    let requires = if dice.percent(30) { r#"["export"]"# } else { "[]" };
    let last = if dice.percent(20) { "/export/other" } else { "/export/csv" };
    format!(
        r#"
        routes = [
            {{ path = "/signals", cost = {one} }},
            {{ path = "/signals/history/{{symbol}}", cost = {two} }},
            {{ path = "{last}", cost = {three}, requires = {requires} }},
        ]
        [tiers.free]
        included = {{ api_calls = {included} }}
        overage = {overage}
        rate = "{rate}"
        [tiers.pro]
        features = ["export"]
        "#
    )
}

/// What became of one customer's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fate {
    refused: BTreeMap<String, u64>,
    units: u64,
}

async fn ask(world: &World, requests: &[(usize, usize)]) -> BTreeMap<String, Fate> {
    let customers = CUSTOMERS.map(|name| world.customer(name));
    let mut fates = BTreeMap::<String, Fate>::new();
    for (customer, path) in requests {
        let reply = customers[*customer].get(PATHS[*path]).await;
        let fate = fates.entry(CUSTOMERS[*customer].to_owned()).or_default();
        if reply.status == 200 {
            fate.units += reply.charged();
        } else {
            *fate.refused.entry(reply.code()).or_default() += 1;
        }
    }
    fates
}

fn whatif(world: &World, new: &Path, more: &[&str]) -> Ended {
    let folder = world.gateway.config.parent().expect("a folder");
    let new = new.display().to_string();
    tollgate(folder, &[&["whatif", "--config", &new], more].concat(), &[])
}

/// A replay of the world's ledger from its own configuration to another one.
fn replayed(world: &World, new: &Path) -> Value {
    let current = world.gateway.config.display().to_string();
    let ended = whatif(world, new, &["--current", &current, "--since", "1h", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no JSON: {}", ended.stdout))
}

fn fates(report: &Value, which: &str) -> BTreeMap<String, Fate> {
    let customers = report["customers"].as_array().expect("customers");
    let fate = |row: &Value| Fate {
        refused: serde_json::from_value(row["refused"][which].clone()).expect("counts"),
        units: row["meters"]["api_calls"]["units"][which].as_u64().expect("units"),
    };
    customers.iter().map(|row| (row["name"].as_str().expect("a name").to_owned(), fate(row))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_decides_as_a_gateway_with_that_configuration_does() {
    let mut dice = Dice::new("whatif");
    let requests: Vec<_> = (0..90).map(|_| (dice.below(CUSTOMERS.len()), dice.below(PATHS.len()))).collect();
    let open = World::builder().config(OPEN).start().await;
    let all = ask(&open, &requests).await;
    assert!(all.values().all(|fate| fate.refused.is_empty()), "{all:?}");
    open.flush().await;
    for _ in 0..2 {
        let written = random(&mut dice);
        let limited = World::builder().config(&written).start().await;
        let truth = ask(&limited, &requests).await;
        limited.flush().await;
        let report = replayed(&open, &limited.gateway.config);
        assert_eq!(fates(&report, "new"), truth, "{written}\n{report:#}");
        assert_eq!(fates(&report, "current"), all, "{report:#}");
        // Of what was refused nothing is recorded: the rest is admitted again, and drawn alike.
        let own = replayed(&limited, &limited.gateway.config);
        let (current, new) = (fates(&own, "current"), fates(&own, "new"));
        assert_eq!(current, new, "{own:#}");
        assert!(new.values().all(|fate| fate.refused.is_empty()), "{written}\n{own:#}");
        for row in own["customers"].as_array().expect("customers") {
            let units = &row["meters"]["api_calls"]["units"];
            assert_eq!(units["recorded"], units["new"], "{row}");
            let difference = row["amount_difference"].as_str().expect("an amount");
            assert!(difference.trim_matches(['0', '.', '-']).is_empty(), "{row}");
        }
        limited.finish().await;
    }
    open.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_refusals_revenue_and_what_it_cannot_know_by_tier() {
    let world = World::builder()
        .config("[tiers.free]\nincluded = { api_calls = 2 }\noverage = { unit_amount = { api_calls = \"0.10\" } }")
        .start()
        .await;
    let (acme, pro) = (world.customer("acme"), world.subscriber("globex", "pro").await.0);
    for _ in 0..6 {
        assert_eq!(acme.get("/signals").await.charged(), 1);
    }
    assert_eq!(pro.get("/signals/history/btc").await.charged(), 2);
    world.flush().await;
    let new = other(&world, |written| {
        let tiers = written["tiers"].as_table_mut().expect("tiers");
        tiers["free"]["included"]["api_calls"] = 3.into();
        tiers["free"]["overage"]["unit_amount"]["api_calls"] = "0.25".into();
        let pro = tiers.remove("pro").expect("a tier");
        tiers.insert("gold".to_owned(), pro);
    });
    let report = replayed(&world, &new);
    let tier = |name: &str| {
        let mut tiers = report["tiers"].as_array().expect("tiers").iter();
        tiers.find(|tier| tier["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"))
    };
    let meter = &tier("free")["meters"]["api_calls"];
    assert_eq!(meter["units"], json!({ "recorded": 6, "current": 6, "new": 6 }));
    assert_eq!(meter["overage"], json!({ "current": 4, "new": 3 }));
    assert_eq!(meter["amount"], json!({ "current": "0.40", "new": "0.75" }));
    assert_eq!(tier("free")["amount_difference"], "0.35");
    assert_eq!((&tier("free")["customers"], &tier("pro")["customers"]), (&json!(1), &json!(1)));
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("there is no tier \\\"pro\\\"") && notes.contains("refused at the time"),
        "{notes}"
    );
    let current = world.gateway.config.display().to_string();
    let shown = whatif(&world, &new, &["--current", &current, "--customer", "acme"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("acme") && !shown.stdout.contains("globex"), "{}", shown.stdout);
    assert!(shown.stdout.contains("0.35"), "{}", shown.stdout);
    world.finish().await;
}

/// Writes the world's configuration with other sections beside it.
fn other(world: &World, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
    let path = world.gateway.config.with_file_name("new.toml");
    let mut written = world.configuration();
    change(&mut written);
    fs::write(&path, written.to_string()).expect("a writable folder");
    path
}

/// Two customers with an operator's tier: one who pays for nothing, and one who pays for less.
async fn with_overrides(pro: u64) -> (World, BTreeMap<String, Fate>) {
    let tiers = format!(
        "[tiers]\nfree.included = {{ api_calls = 2 }}\nstarter.included = {{ api_calls = 3 }}
         pro.included = {{ api_calls = {pro} }}"
    );
    let world = World::builder().config(&tiers).start().await;
    let mut fates = BTreeMap::new();
    for customer in [world.customer("acme"), world.subscriber("globex", "starter").await.0] {
        customer.status().await;
        let path = format!("/admin/customers/{}/override", customer.name);
        let set = world.put(&path, &json!({ "tier": "pro", "reason": "a gift" })).await;
        assert_eq!(set.status, 200, "{}", set.text());
        let fate: &mut Fate = fates.entry(customer.name.clone()).or_default();
        for _ in 0..6 {
            let reply = customer.get("/signals").await;
            if reply.status == 200 {
                fate.units += reply.charged();
            } else {
                *fate.refused.entry(reply.code()).or_default() += 1;
            }
        }
    }
    world.flush().await;
    (world, fates)
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_an_operators_tier_a_customers_own_decides_and_prices() {
    let (ample, all) = with_overrides(10).await;
    let (limited, truth) = with_overrides(4).await;
    assert_eq!((all["acme"].units, truth["acme"].units, truth["globex"].units), (6, 4, 6));
    let report = replayed(&ample, &limited.gateway.config);
    assert_eq!((fates(&report, "current"), fates(&report, "new")), (all, truth), "{report:#}");
    for row in report["customers"].as_array().expect("customers") {
        let told =
            limited.shown(&format!("/admin/customers/{}", row["name"].as_str().expect("a name"))).await;
        let amount = row["meters"]["api_calls"]["amount"]["new"].as_str().expect("an amount");
        let of_two = if row["name"] == "globex" { "0.06" } else { "0.00" };
        assert_eq!(told["overage"]["amount"], of_two, "2 beyond 4, at the price of starter");
        assert_eq!(format!("{:.2}", amount.parse::<Decimal>().expect("a number")), of_two, "{row}");
    }
    ample.finish().await;
    limited.finish().await;
}

/// What answers of so many KiB come to, where they cost this.
async fn sized(cost: &str, told: bool) -> (World, BTreeMap<String, Fate>) {
    let routes = format!("routes = [{{ path = \"/sized\", cost = {cost} }}]");
    let free = "[tiers.free]\nincluded = { api_calls = 12 }";
    let world = World::builder().config(&routes).config(free).start().await;
    let customer = world.customer("acme");
    let mut fate = Fate::default();
    for kib in [3, 1, 6, 2] {
        world.upstream.on("/sized", Behaviour::Large(kib << 10));
        let reply = customer.get("/sized").await;
        if reply.status != 200 {
            *fate.refused.entry(reply.code()).or_default() += 1;
        } else if told {
            customer.owes(&format!("api_calls={kib}"));
            fate.units += kib as u64;
            customer.until_used(fate.units).await;
        } else {
            fate.units += reply.charged();
        }
    }
    world.flush().await;
    (world, BTreeMap::from([(customer.name, fate)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_replayed_as_it_was_told_and_a_fixed_cost_as_it_is_written() {
    let (measured, told) = sized("{ api_calls = { response_bytes = \"1KiB\", hold = 2 } }", true).await;
    let (fixed, charged) = sized("4", false).await;
    assert_eq!((told["acme"].units, charged["acme"].units), (12, 12));
    let report = replayed(&measured, &fixed.gateway.config);
    assert_eq!((fates(&report, "current"), fates(&report, "new")), (told, charged), "{report:#}");
    measured.finish().await;
    fixed.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_of_two_currencies_are_not_compared_and_a_year_is_no_month() {
    let world = World::start().await;
    world.subscriber("acme", "pro").await.0.get("/signals").await;
    world.flush().await;
    let current = world.gateway.config.display().to_string();
    let new = other(&world, |written| written["billing"]["currency"] = "eur".into());
    let refused = whatif(&world, &new, &["--current", &current]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("prices in usd and --config in eur"), "{}", refused.stderr);
    let alone = whatif(&world, &new, &[]);
    assert!(alone.code == Some(0) && alone.stdout.contains("amounts in eur"), "{}", alone.stderr);
    for (price, difference, shown) in [
        (r#"{ monthly = "120", yearly = "990.00" }"#, json!("21.00"), "99.00 or 990.00/year"),
        (r#"{ yearly = "1990.00" }"#, json!(null), "1990.00/year"),
    ] {
        let new = other(&world, |written| {
            let price: toml::Table = format!("price = {price}").parse().expect("TOML");
            written["tiers"]["pro"]["price"] = price["price"].clone();
        });
        let report = replayed(&world, &new);
        let tier = report["tiers"].as_array().expect("tiers").iter().find(|tier| tier["name"] == "pro");
        let flat = &tier.expect("a tier")["flat"];
        assert_eq!(
            (&flat["difference"], &flat["yearly"]["current"]),
            (&difference, &json!("990.00")),
            "{flat}"
        );
        let text = whatif(&world, &new, &["--current", &current, "--since", "1h"]).stdout;
        assert!(text.contains(shown), "{text}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_exits_64_and_no_ledger_1() {
    let world = World::start().await;
    let folder = world.gateway.config.parent().expect("a folder");
    let bad = folder.join("bad.toml");
    fs::write(&bad, "[tiers.free]\nmode = \"shade\"\n").expect("a writable folder");
    let ended = whatif(&world, &bad, &[]);
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("bad.toml:2:8"), "{}", ended.stderr);
    let elsewhere = folder.join("elsewhere.toml");
    let base = fs::read_to_string(&world.gateway.config).expect("a configuration");
    let data_dir = world.gateway.data_dir.display().to_string();
    fs::write(&elsewhere, base.replace(&data_dir, &format!("{data_dir}-none"))).expect("a writable folder");
    assert_eq!(whatif(&world, &elsewhere, &[]).code, Some(1));
    let ended = command(&world, &["whatif", "--since", "1h", "--until", "2h"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("is not before --until"), "{}", ended.stderr);
    let ended = command(&world, &["whatif"]);
    assert_eq!(ended.code, Some(0), "a gateway that has recorded nothing: {}", ended.stderr);
    world.finish().await;
}
