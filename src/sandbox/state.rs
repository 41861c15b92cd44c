//! Everything the sandbox knows. One value behind one lock; it knows no clock and no network: `now`
//! comes in, and what must go out to webhooks is left in `outgoing`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Options;
use super::alarms::Alarm;
use super::checkout::Session;
use super::customers::Customer;
use super::error::ApiError;
use super::events::{Delivery, Event};
use super::faults::Faults;
use super::idempotency::Idempotency;
use super::ids::Ids;
use super::invoices::Invoice;
use super::meters::Meter;
use super::params::{Param, Params};
use super::payment_intents::PaymentIntent;
use super::payment_methods::PaymentMethod;
use super::prices::Price;
use super::products::Product;
use super::subscriptions::Subscription;
use super::table::Table;
use super::thin_events::ThinEvent;
use super::usage::Usage;
use super::webhooks::Endpoint;

#[derive(Debug)]
pub struct State {
    pub base_url: String,
    pub options: Options,
    pub ids: Ids,
    pub customers: Table<Customer>,
    pub products: Table<Product>,
    pub prices: Table<Price>,
    pub meters: Table<Meter>,
    pub subscriptions: Table<Subscription>,
    pub sessions: Table<Session>,
    pub invoices: Table<Invoice>,
    pub payment_methods: Table<PaymentMethod>,
    pub payment_intents: Table<PaymentIntent>,
    /// Whether the portal's settings were saved.
    pub portal_configured: bool,
    pub events: Table<Event>,
    pub thin_events: Table<ThinEvent>,
    pub endpoints: Table<Endpoint>,
    pub usage: Usage,
    /// When each live subscription next needs attention: a period or a trial ends.
    pub edges: BTreeSet<(i64, String)>,
    /// What else happens by itself, and when.
    pub alarms: BTreeSet<(i64, Alarm)>,
    /// How often each operation was called.
    pub calls: BTreeMap<&'static str, u64>,
    pub idempotency: Idempotency,
    pub faults: Faults,
    /// Customer and event name of meter events that are being taken right now.
    pub in_flight: BTreeSet<(String, String)>,
    /// Signed and sent by the webhook task.
    pub outgoing: Vec<Delivery>,
}

impl State {
    pub fn new(base_url: String, options: Options, salt: u64) -> Self {
        Self {
            base_url,
            options,
            ids: Ids::new(salt),
            customers: Table::default(),
            products: Table::default(),
            prices: Table::default(),
            meters: Table::default(),
            subscriptions: Table::default(),
            sessions: Table::default(),
            invoices: Table::default(),
            payment_methods: Table::default(),
            payment_intents: Table::default(),
            portal_configured: true,
            events: Table::default(),
            thin_events: Table::default(),
            endpoints: Table::default(),
            usage: Usage::default(),
            edges: BTreeSet::new(),
            alarms: BTreeSet::new(),
            calls: BTreeMap::new(),
            idempotency: Idempotency::default(),
            faults: Faults::default(),
            in_flight: BTreeSet::new(),
            outgoing: Vec::new(),
        }
    }
}

/// One request to an operation.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Unix seconds.
    pub now: i64,
    /// The id in the path; empty where there is none.
    pub id: &'a str,
    /// The id in front of it in the path, of what it belongs to; empty where there is none.
    pub owner: &'a str,
    pub params: &'a Params,
}

pub type Operation = fn(&mut State, &Call<'_>) -> Result<Value, ApiError>;

pub type Metadata = BTreeMap<String, String>;

/// Adds what a request sets; an empty value removes its key, an empty `metadata` all of them.
pub fn merge_metadata(metadata: &mut Metadata, params: &Params) {
    match params.get("metadata") {
        None => {}
        Some(Param::Text(_)) => metadata.clear(),
        Some(Param::Group(group)) => {
            metadata.extend(group.map());
            metadata.retain(|_, value| !value.is_empty());
        }
    }
}

pub fn new_metadata(params: &Params) -> Metadata {
    let mut metadata = Metadata::new();
    merge_metadata(&mut metadata, params);
    metadata
}
