//! The pure core with a `now` of our choosing: months in microseconds.

use jiff::Timestamp;
use serde_json::Value;

use crate::sandbox::error::ApiError;
use crate::sandbox::params::Params;
use crate::sandbox::state::{Call, Operation, State};
use crate::sandbox::{
    Catalogue, Options, SeedTier, Subscribed, alarms, invoices, meter_events, seed, subscriptions,
};

/// A customer and a clock of our own.
pub struct World {
    pub state: State,
    pub pro: Subscribed,
}

pub fn at(instant: &str) -> i64 {
    instant.parse::<Timestamp>().expect("it is there").as_second()
}

pub fn run(state: &mut State, now: i64, operation: Operation, id: &str, form: &str) -> Value {
    try_run(state, now, operation, id, form).expect("it is there")
}

/// An operation at a moment, after everything that happens by itself until then.
pub fn try_run(
    state: &mut State,
    now: i64,
    operation: Operation,
    id: &str,
    form: &str,
) -> Result<Value, ApiError> {
    alarms::pass(state, now);
    let params = Params::decode(form).expect("it is there");
    operation(state, &Call { now, id, owner: "", params: &params })
}

impl World {
    /// A customer who subscribes at `now`: 99 USD a month, 100 units included, then 2 cents each.
    pub fn begin(now: &str) -> Self {
        Self::with(now, Options::default())
    }

    pub fn with(now: &str, options: Options) -> Self {
        let mut state = State::new("http://sandbox".into(), options, 1);
        let pro = SeedTier {
            name: "pro".into(),
            monthly_cents: Some(9_900),
            yearly_cents: None,
            included: 100,
            overage_cents: Some("2".into()),
        };
        let wanted = Catalogue {
            currency: "usd".into(),
            event_name: "api_calls".into(),
            meter: "api_calls".into(),
            tiers: vec![pro],
            id_prefix: None,
        };
        seed::catalogue(&mut state, at(now), &wanted).expect("it is there");
        let pro = seed::subscribed_customer(&mut state, at(now), "pro", None).expect("it is there");
        Self { state, pro }
    }

    pub fn use_units(&mut self, now: &str, units: u64) {
        let form = format!(
            "event_name=api_calls&payload[stripe_customer_id]={}&payload[value]={units}",
            self.pro.customer
        );
        run(&mut self.state, at(now), meter_events::create, "", &form);
    }

    pub fn subscription(&mut self, now: &str) -> Value {
        let id = self.pro.subscription.clone();
        run(&mut self.state, at(now), subscriptions::retrieve, &id, "")
    }

    pub fn update(&mut self, now: &str, form: &str) -> Value {
        let id = self.pro.subscription.clone();
        run(&mut self.state, at(now), subscriptions::update, &id, form)
    }

    /// The totals of all invoices, newest first.
    pub fn totals(&mut self, now: &str) -> Vec<i64> {
        let list = run(&mut self.state, at(now), invoices::index, "", "");
        let rows = list["data"].as_array().expect("it is there").iter();
        rows.map(|invoice| invoice["total"].as_i64().expect("it is there")).collect()
    }

    pub fn events(&self, kind: &str) -> usize {
        self.state.events.iter().filter(|event| event.kind == kind).count()
    }
    /// The types of all events so far, oldest first.
    pub fn event_types(&self) -> Vec<&str> {
        self.state.events.iter().map(|event| event.kind.as_str()).collect()
    }

    /// The newest event of a type.
    pub fn last_event(&self, kind: &str) -> Value {
        let found = self.state.events.iter().filter(|event| event.kind == kind).last();
        found.map_or(Value::Null, |event| event.json["data"]["object"].clone())
    }

    /// What there is by an instant.
    pub fn at(&mut self, now: &str, operation: Operation, id: &str, form: &str) -> Value {
        run(&mut self.state, at(now), operation, id, form)
    }
}

pub fn period(subscription: &Value, item: usize) -> (i64, i64) {
    let item = &subscription["items"]["data"][item];
    let bound = |name: &str| item[name].as_i64().expect("it is there");
    (bound("current_period_start"), bound("current_period_end"))
}
