//! Usage of the past: customers and sealed rows as earlier hours have left them, and their events at Stripe.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rusqlite::{Connection, params};
use serde_json::Value;
use tollgate::domain::period::rfc3339;

use crate::harness::{Ended, PATIENCE, Stripe, World, tollgate, unix_now, until};

/// A customer of the past.
#[derive(Clone)]
pub struct Account {
    pub name: String,
    pub stripe_customer: String,
    number: i64,
}

/// One sealed row.
pub struct Row {
    pub identifier: String,
    pub units: i64,
    pub at: i64,
}

/// The start of the minute that was so many minutes ago.
pub fn minutes_ago(minutes: i64) -> i64 {
    (unix_now() / 60 - minutes) * 60
}

/// The store beside a gateway that may be running.
pub fn store(world: &World) -> Connection {
    store_in(&world.gateway.data_dir)
}

pub fn store_in(data_dir: &Path) -> Connection {
    let store = Connection::open(data_dir.join("tollgate.db")).expect("a store");
    store.busy_timeout(Duration::from_secs(10)).expect("a store");
    store
}

/// One value of one row.
pub fn ask<T: rusqlite::types::FromSql>(world: &World, query: &str) -> T {
    store(world).query_row(query, [], |row| row.get(0)).expect(query)
}

/// Customers whom Stripe knows, by one transaction.
pub async fn customers(world: &World, names: Vec<String>) -> Vec<Account> {
    let known = at_stripe(&world.stripe, names).await;
    add(&world.gateway.data_dir, &known)
}

/// Our names and Stripe's.
pub async fn at_stripe(stripe: &Stripe, names: Vec<String>) -> Vec<(String, String)> {
    stream::iter(names)
        .map(async |name| {
            let object = stripe.post("/v1/customers", &[("name", &name)]).await;
            (name, object["id"].as_str().expect("an id").to_owned())
        })
        .buffered(64)
        .collect()
        .await
}

/// A gateway knows such customers.
pub fn add(data_dir: &Path, known: &[(String, String)]) -> Vec<Account> {
    let mut store = store_in(data_dir);
    let all = store.transaction().expect("a transaction");
    let add = |(name, stripe_customer): (String, String)| {
        all.execute(
            "INSERT INTO customers (name, stripe_customer, linked_by, linked_at, first_seen)
             VALUES (?1, ?2, 'claim', 0, 0)",
            params![name, stripe_customer],
        )
        .expect("a new customer");
        Account { name, stripe_customer, number: all.last_insert_rowid() }
    };
    let accounts = known.iter().cloned().map(add).collect();
    all.commit().expect("a transaction");
    accounts
}

pub async fn customer(world: &World, name: &str) -> Account {
    customers(world, vec![name.to_owned()]).await.remove(0)
}

/// Seals rows of a customer; what becomes of them is in `state`, such as `'delivered'`.
pub fn seal(world: &World, accounts: &[Account], state: &str, units_at: &[(i64, i64)]) -> Vec<Row> {
    seal_in(&world.gateway.data_dir, accounts, state, units_at)
}

pub fn seal_in(data_dir: &Path, accounts: &[Account], state: &str, units_at: &[(i64, i64)]) -> Vec<Row> {
    let mut store = store_in(data_dir);
    let all = store.transaction().expect("a transaction");
    let mut rows = Vec::new();
    for account in accounts {
        for (units, at) in units_at {
            let identifier = format!("tg-past-{}-{}", account.number, unique());
            all.execute(
                "INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name, value,
                                     timestamp, state, sealed_at, first_tried_at, last_tried_at, next_try_at,
                                     settled_at)
                 SELECT ?1, ?2, number, ?4 - 86400, ?5, 'api_calls', ?6, ?4, ?3, ?4, ?4, ?4, 0, ?4
                 FROM names WHERE kind = 'meter' AND name = 'api_calls'",
                params![identifier, account.number, state, at, account.stripe_customer, units],
            )
            .expect("a new row");
            rows.push(Row { identifier, units: *units, at: *at });
        }
    }
    all.commit().expect("a transaction");
    rows
}

fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Rows of a customer that Stripe has accepted.
pub async fn used(world: &World, account: &Account, units_at: &[(i64, i64)]) -> Vec<Row> {
    let rows = seal(world, std::slice::from_ref(account), "delivered", units_at);
    for row in &rows {
        accept(world, account, row).await;
    }
    rows
}

/// Stripe accepts a row.
pub async fn accept(world: &World, account: &Account, row: &Row) {
    accept_at(&world.stripe, account, row).await;
}

pub async fn accept_at(stripe: &Stripe, account: &Account, row: &Row) {
    let (units, at) = (row.units.to_string(), row.at.to_string());
    let form = [
        ("event_name", "api_calls"),
        ("payload[stripe_customer_id]", &account.stripe_customer),
        ("payload[value]", &units),
        ("identifier", &row.identifier),
        ("timestamp", &at),
    ];
    stripe.post("/v1/billing/meter_events", &form).await;
}

/// Stripe loses a row.
pub async fn lose(world: &World, row: &Row) {
    lose_at(&world.stripe, row).await;
}

pub async fn lose_at(stripe: &Stripe, row: &Row) {
    let form = [("event_name", "api_calls"), ("type", "cancel"), ("cancel[identifier]", &row.identifier)];
    stripe.post("/v1/billing/meter_event_adjustments", &form).await;
}

/// The last day, as a period.
pub fn last_day() -> String {
    format!("{}..{}", rfc3339(unix_now() - 86_400), rfc3339(unix_now()))
}

/// A run of `tollgate reconcile` over the last day.
pub async fn reconcile(world: &World, more: &[&str]) -> Ended {
    reconcile_with(world.gateway.config.clone(), more).await
}

pub async fn reconcile_with(config: PathBuf, more: &[&str]) -> Ended {
    let period = last_day();
    let more: Vec<String> = more.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || {
        let file = config.display().to_string();
        let mut arguments = vec!["reconcile", "--config", &file];
        if !more.iter().any(|argument| argument == "--period") {
            arguments.extend(["--period", &period]);
        }
        arguments.extend(more.iter().map(String::as_str));
        tollgate(config.parent().expect("a folder"), &arguments, &[])
    };
    tokio::task::spawn_blocking(run).await.expect("a command")
}

/// The differences of a run with `--json`, and its exit code.
pub async fn differences(world: &World, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    told(&reconcile(world, &[&["--json"], more].concat()).await)
}

pub fn told(ended: &Ended) -> (Option<i32>, Vec<Value>) {
    let report: Value = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|_| panic!("no JSON: {}{}", ended.stdout, ended.stderr));
    (ended.code, report["differences"].as_array().expect("a list").clone())
}

/// Waits until the gateway's metric tells so many units.
pub async fn until_told(world: &World, units: u64) {
    until(&format!("{units} units are told"), PATIENCE, async || {
        let told = world.metric("tollgate_reconcile_difference_units{meter=\"api_calls\"}").await;
        (told == Some(units)).then_some(())
    })
    .await;
}

/// Customer, ledger, Stripe, difference and repaired units.
pub fn sums(difference: &Value) -> (&str, [i64; 4]) {
    let units = ["ledger", "stripe", "difference", "repaired"]
        .map(|key| difference[key].as_i64().unwrap_or_else(|| panic!("no {key}: {difference}")));
    assert_eq!(difference["meter"], "api_calls");
    (difference["customer"].as_str().expect("a name"), units)
}

pub fn note(difference: &Value) -> &str {
    difference["note"].as_str().expect("a note")
}

/// The minute that holds an instant, as a period.
pub fn minutes(at: i64) -> String {
    format!("{}..{}", rfc3339(at), rfc3339(at + 1))
}

/// Meter events meet a Stripe that is not there, until faults are forgotten.
pub async fn hold_back(world: &World) {
    world.stripe.break_meter_events(serde_json::json!({ "status": 500, "times": 1_000 })).await;
}

/// The configuration with another `reconcile_settle`.
pub fn with_settle(world: &World, settle: &str) -> PathBuf {
    changed(world, "billing", "reconcile_settle", settle)
}

/// The configuration with another `data_dir`.
pub fn with_data_dir(world: &World, data_dir: &Path) -> PathBuf {
    changed(world, "server", "data_dir", &data_dir.display().to_string())
}

fn changed(world: &World, section: &str, key: &str, value: &str) -> PathBuf {
    let text = std::fs::read_to_string(&world.gateway.config).expect("a file of the test");
    let mut config: toml::Table = text.parse().expect("a file of the test");
    let section = config[section].as_table_mut().expect("a file of the test");
    section.insert(key.to_owned(), value.into());
    let path = world.gateway.config.with_file_name("changed.toml");
    std::fs::write(&path, config.to_string()).expect("a file of the test");
    path
}
