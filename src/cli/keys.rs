//! `tollgate keys`: API keys, handed out by the gateway if one runs, so that what changes is in force at once.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Failed, KeyDesk, WantedKey, WantedRotation, key_json};
use crate::clock;
use crate::config::Config;
use crate::domain::period::rfc3339;
use crate::domain::span::parse_span;
use crate::server::{self, Hold};
use crate::store::Store;

use super::gateway::{Gateway, escaped};
use super::table::table;
use super::{Failure, load, print};

/// Keys that are read together for a list.
const PAGE: u32 = 1_000;

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make an API key, and print it: it is never shown again
    Create(Create),
    /// Show all keys; not the keys themselves
    List(List),
    /// Make a key that takes the place of another one, and print it
    Rotate(Rotate),
    /// End a key at once
    Revoke(Revoke),
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What people know the key by
    #[arg(long)]
    name: String,
    /// Who pays, as tokens name them; left out: a customer of the key's own
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// What it may do, of what routes ask for; several times for several; left out: everything
    #[arg(long = "scope", value_name = "NAME")]
    scopes: Vec<String>,
    /// How long it works, such as 15m, 24h, 90d; left out: until it is revoked
    #[arg(long, value_name = "SPAN", value_parser = span)]
    ttl: Option<u64>,
    /// Who stands for the customer at Stripe
    #[arg(long, value_name = "ID")]
    stripe_customer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this customer's
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Rotate {
    /// Which one
    #[arg(value_name = "KEY_ID")]
    id: String,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How long the old key goes on working, such as 0s, 15m, 7d
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    overlap: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Revoke {
    /// Which one
    #[arg(value_name = "KEY_ID")]
    id: String,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl KeysCommand {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(&self) -> Result<(), Failure> {
        let expires = self.ttl.map(|ttl| rfc3339(clock::now().seconds().saturating_add_unsigned(ttl)));
        let wanted = WantedKey {
            customer: self.customer.clone(),
            name: Some(self.name.clone()),
            scopes: (!self.scopes.is_empty()).then(|| self.scopes.clone()),
            expires,
            stripe_customer: self.stripe_customer.clone(),
        };
        let made = at_the_desk(
            &load(&self.config)?,
            async |gateway| gateway.ask(Method::POST, "/admin/keys", Some(&body(&wanted))).await,
            async |desk| {
                let now = clock::now().seconds();
                Ok(desk.create(wanted.clone(), now).await.map_err(problem)?.json(now))
            },
        )?;
        print_made(&made, self.json)
    }
}

impl Rotate {
    fn run(&self) -> Result<(), Failure> {
        let made = at_the_desk(
            &load(&self.config)?,
            async |gateway| {
                let path = format!("/admin/keys/{}/rotate", escaped(&self.id));
                gateway.ask(Method::POST, &path, Some(&json!({ "overlap": self.overlap }))).await
            },
            async |desk| {
                let now = clock::now().seconds();
                let wanted = WantedRotation { overlap: Some(self.overlap.clone()), expires: None };
                Ok(desk.rotate(&self.id, wanted, now).await.map_err(problem)?.json(now))
            },
        )?;
        print_made(&made, self.json)
    }
}

impl Revoke {
    fn run(&self) -> Result<(), Failure> {
        let revoked = at_the_desk(
            &load(&self.config)?,
            async |gateway| {
                gateway.ask(Method::DELETE, &format!("/admin/keys/{}", escaped(&self.id)), None).await
            },
            async |desk| {
                let now = clock::now().seconds();
                Ok(key_json(&desk.revoke(&self.id, now).await.map_err(problem)?, now))
            },
        )?;
        print(&if self.json { format!("{revoked}\n") } else { format!("{} is revoked\n", self.id) })
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let store = server::existing_store(&config)?;
        let rows = tokio::runtime::Runtime::new()?.block_on(self.rows(&store))?;
        if self.json {
            return print(&format!("{}\n", json!({ "data": rows })));
        }
        if rows.is_empty() {
            return print("there are no keys\n");
        }
        let columns = ["id", "customer", "name", "scopes", "state", "expires_at", "last_used_at"];
        let cells = |row: &Value| columns.map(|column| cell(&row[column])).to_vec();
        print(&table(&columns, &rows.iter().map(cells).collect::<Vec<_>>()))
    }

    async fn rows(&self, store: &Store) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let page = store.api_keys(self.customer.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(rows) };
            after = last.number;
            let now = clock::now().seconds();
            rows.extend(page.iter().map(|row| key_json(row, now)));
        }
    }
}

/// Asks the gateway that runs or, where none does, the store.
fn at_the_desk(
    config: &Config,
    by_the_gateway: impl AsyncFnOnce(Gateway) -> anyhow::Result<Value>,
    here: impl AsyncFnOnce(KeyDesk) -> anyhow::Result<Value>,
) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Runtime::new()?;
    let desk: Option<(KeyDesk, Hold)> = server::key_desk_here(config)?;
    match desk {
        // Nobody starts a gateway as long as it is held.
        Some((desk, _hold)) => {
            let done = runtime.block_on(here(desk))?;
            if config.fleet.is_some() {
                eprintln!(
                    "no gateway runs here: the other ones of the fleet hear of it when this one starts"
                );
            }
            Ok(done)
        }
        None => runtime.block_on(by_the_gateway(Gateway::of(config)?)),
    }
}

fn body(wanted: &WantedKey) -> Value {
    let WantedKey { customer, name, scopes, expires, stripe_customer } = wanted;
    json!({
        "customer": customer,
        "name": name,
        "scopes": scopes,
        "expires": expires,
        "stripe_customer": stripe_customer,
    })
}

fn problem(Failed(problem): Failed) -> anyhow::Error {
    anyhow!("{}", problem.detail)
}

/// The key alone on stdout, for whoever pipes it on.
fn print_made(made: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print(&format!("{made}\n"));
    }
    eprintln!("key {} of {}; it is not shown again:", cell(&made["id"]), cell(&made["customer"]));
    print(&format!("{}\n", cell(&made["key"])))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn span(text: &str) -> Result<u64, String> {
    let seconds = parse_span(text).filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| format!("{text:?} is no duration; write 15m, 24h or 90d"))
}
