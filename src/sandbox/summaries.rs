//! Meter event summaries: what a customer used within a span, in whole minutes, hours or days.

use serde_json::{Value, json};

use super::customers;
use super::error::ApiError;
use super::params::Params;
use super::state::{Call, State};
use super::table::{Page, list};

const MINUTE: i64 = 60;

/// What a request asks to be summed up.
struct Span {
    start: i64,
    end: i64,
    /// The width of the windows, in seconds; `None`: the whole span at once.
    window: Option<i64>,
}

impl Span {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let window = match params.filled("value_grouping_window") {
            None => None,
            Some("hour") => Some(60 * MINUTE),
            Some("day") => Some(24 * 60 * MINUTE),
            Some(other) => {
                let message =
                    format!("Invalid value_grouping_window: must be one of hour or day; got {other}");
                return Err(ApiError::parameter("value_grouping_window", "parameter_invalid", message));
            }
        };
        let step = window.unwrap_or(MINUTE);
        let (start, end) = (aligned(params, "start_time", step)?, aligned(params, "end_time", step)?);
        if start >= end {
            let message = "end_time must be after start_time.";
            return Err(ApiError::parameter("end_time", "parameter_invalid", message));
        }
        Ok(Self { start, end, window })
    }
}

fn aligned(params: &Params, name: &str, step: i64) -> Result<i64, ApiError> {
    let time = params.integer(name)?.ok_or_else(|| ApiError::parameter_missing(name))?;
    if time.rem_euclid(step) != 0 {
        let message = format!("{name} must be aligned with {step} second boundaries.");
        return Err(ApiError::parameter(name, "parameter_invalid", message));
    }
    Ok(time)
}

/// `GET /v1/billing/meters/:id/event_summaries`: one summary of the whole span, or one per hour or day
/// with usage, newest first.
pub fn index(state: &mut State, call: &Call<'_>) -> Result<Value, ApiError> {
    let page = Page::read(call.params)?;
    let meter = state.meters.find(call.id)?;
    let customer = call.params.required("customer")?;
    customers::referenced(state, customer, "customer")?;
    let span = Span::read(call.params)?;
    let mut windows = vec![(span.start, span.end)];
    if let Some(width) = span.window {
        let starts = state.usage.windows(&meter.id, customer, span.start, span.end, width);
        windows = starts.into_iter().rev().map(|start| (start, start + width)).collect();
    }
    let id = |start: i64| format!("mtrusg_{}_{start}", meter.id);
    if let Some(after) = &page.starting_after {
        let at = windows.iter().position(|(start, _)| id(*start) == *after);
        let unknown = || ApiError::no_such_reference("meter event summary", after, "starting_after");
        windows.drain(..=at.ok_or_else(unknown)?);
    }
    let has_more = windows.len() > page.limit;
    windows.truncate(page.limit);
    let summary = |(start, end): (i64, i64)| {
        let value = state.usage.aggregate(&meter.id, customer, meter.formula, start, end);
        json!({
            "id": id(start),
            "object": "billing.meter_event_summary",
            "aggregated_value": value.unwrap_or(0),
            "end_time": end,
            "livemode": false,
            "meter": meter.id,
            "start_time": start,
        })
    };
    let data = windows.into_iter().map(summary).collect();
    Ok(list(&format!("/v1/billing/meters/{}/event_summaries", meter.id), data, has_more))
}
