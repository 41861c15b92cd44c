//! Meters: what an event's name counts. One active meter per event name.

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::state::{Call, State};
use super::table::{Page, Row, list};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formula {
    Sum,
    Count,
    Last,
}

impl Formula {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "sum" => Self::Sum,
            "count" => Self::Count,
            "last" => Self::Last,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Last => "last",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Meter {
    pub id: String,
    pub display_name: String,
    pub event_name: String,
    pub formula: Formula,
    /// The payload's key that names the customer.
    pub customer_key: String,
    /// The payload's key that holds the value.
    pub value_key: String,
    pub created: i64,
    pub updated: i64,
    pub deactivated_at: Option<i64>,
}

impl Row for Meter {
    const NOUN: &'static str = "billing meter";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Meter {
    pub fn active(&self) -> bool {
        self.deactivated_at.is_none()
    }

    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "billing.meter",
            "created": self.created,
            "customer_mapping": {"event_payload_key": self.customer_key, "type": "by_id"},
            "default_aggregation": {"formula": self.formula.name()},
            "display_name": self.display_name,
            "event_name": self.event_name,
            "event_time_window": null,
            "livemode": false,
            "status": if self.active() { "active" } else { "inactive" },
            "status_transitions": {"deactivated_at": self.deactivated_at},
            "updated": self.updated,
            "value_settings": {"event_payload_key": self.value_key},
        })
    }
}

pub fn active<'a>(state: &'a State, event_name: &str) -> Option<&'a Meter> {
    let mut meters = state.meters.iter();
    meters.find(|meter| meter.active() && meter.event_name == event_name)
}

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let id = insert(state, call.now, call.params)?;
    Ok(state.meters.find(&id)?.json())
}

pub fn insert(state: &mut State, now: i64, params: &Params) -> Result<String, ApiError> {
    let display_name = params.required("display_name")?.to_owned();
    let event_name = params.required("event_name")?.to_owned();
    let formula = params.group("default_aggregation").and_then(|group| group.filled("formula"));
    let formula = formula.ok_or_else(|| ApiError::parameter_missing("default_aggregation[formula]"))?;
    let formula = Formula::parse(formula).ok_or_else(|| {
        let message = format!("Invalid formula: must be one of sum, count, or last; got {formula}");
        ApiError::parameter("default_aggregation[formula]", "parameter_invalid", message)
    })?;
    if params.filled("event_time_window").is_some() {
        let message = "The sandbox does not pre-aggregate: leave event_time_window out.";
        return Err(ApiError::parameter("event_time_window", "parameter_invalid", message));
    }
    refuse_second(state, &event_name)?;
    let key = |group: &str, default: &str| {
        let group = params.group(group).and_then(|group| group.owned("event_payload_key"));
        group.unwrap_or_else(|| default.to_owned())
    };
    let meter = Meter {
        id: state.ids.make("mtr"),
        display_name,
        event_name,
        formula,
        customer_key: key("customer_mapping", "stripe_customer_id"),
        value_key: key("value_settings", "value"),
        created: now,
        updated: now,
        deactivated_at: None,
    };
    let id = meter.id.clone();
    state.meters.insert(meter);
    Ok(id)
}

fn refuse_second(state: &State, event_name: &str) -> Result<(), ApiError> {
    if active(state, event_name).is_none() {
        return Ok(());
    }
    let message = format!("An active meter already exists for event name {event_name}.");
    Err(ApiError::refused(message).about("event_name"))
}

pub fn retrieve(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    Ok(state.meters.find(call.id)?.json())
}

/// Only the display name can change.
pub fn update(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    call.params.only(&["display_name", "expand"])?;
    let meter = state.meters.find_mut(call.id)?;
    if let Some(name) = call.params.owned("display_name") {
        meter.display_name = name;
        meter.updated = call.now;
    }
    Ok(meter.json())
}

pub fn deactivate(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let meter = state.meters.find_mut(call.id)?;
    meter.deactivated_at.get_or_insert(call.now);
    Ok(meter.json())
}

pub fn reactivate(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let meter = state.meters.find(call.id)?;
    if !meter.active() {
        let event_name = meter.event_name.clone();
        refuse_second(state, &event_name)?;
    }
    let meter = state.meters.find_mut(call.id)?;
    meter.deactivated_at = None;
    Ok(meter.json())
}

pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let status = call.params.filled("status");
    let keep = |meter: &Meter| status.is_none_or(|status| (status == "active") == meter.active());
    let (rows, more) = state.meters.page(&Page::read(call.params)?, None, keep)?;
    let data = rows.into_iter().map(Meter::json).collect();
    Ok(list("/v1/billing/meters", data, more))
}
