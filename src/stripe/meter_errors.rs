//! Meter events that Stripe accepted and found wrong later: thin webhook events that only name themselves.
//!
//! What went wrong is read from `/v2/core/events/:id`. Stripe lists samples of the events, not all of them: the
//! counts tell how many there were.

use serde_json::Value;

use super::error::CallError;
use super::loose::{elements, integer, text};
use super::transport::Transport;

/// Events of one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterError {
    /// Such as `meter_event_customer_not_found`.
    pub code: String,
    /// How many events it befell.
    pub count: i64,
    /// The identifiers of some of them.
    pub identifiers: Vec<String>,
}

/// Whether a webhook event tells of meter events that do not count.
pub fn is_meter_error(kind: &str) -> bool {
    matches!(kind, "v1.billing.meter.error_report_triggered" | "v1.billing.meter.no_meter_found")
}

/// What an event of that kind reports; none when Stripe does not have the event.
///
/// # Errors
/// See [`CallError`].
pub async fn retrieve_meter_errors(
    transport: &Transport,
    event: &str,
) -> Result<Option<Vec<MeterError>>, CallError> {
    let answer = match transport.once_v2("event_retrieve", &format!("/core/events/{event}")).await {
        Err(error) if error.is_missing() => return Ok(None),
        answer => answer?.json()?,
    };
    if answer.pointer("/data/reason/error_types").is_none_or(|types| !types.is_array()) {
        return Err(CallError::Unreadable { reason: "not an error report of a meter".to_owned() });
    }
    Ok(Some(elements(&answer, "/data/reason/error_types").iter().map(read).collect()))
}

fn read(error: &Value) -> MeterError {
    let identifier = |sample: &Value| text(sample, "/request/identifier");
    let identifiers: Vec<String> = elements(error, "/sample_errors").iter().filter_map(identifier).collect();
    MeterError {
        code: text(error, "/code").unwrap_or_else(|| "unknown".to_owned()),
        count: integer(error, "/error_count").unwrap_or(i64::try_from(identifiers.len()).unwrap_or(0)),
        identifiers,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stripe::test_server::{TestServer, says};

    #[tokio::test]
    async fn a_report_is_read_from_the_second_api() {
        let report = json!({ "id": "evt_1", "data": { "reason": { "error_count": 3, "error_types": [
            { "code": "no_meter", "error_count": 3, "sample_errors": [
                { "request": { "identifier": "tg-1" } }, { "request": {} }, {} ] },
            {},
        ] } } });
        let server = TestServer::start([says(200, report)]).await;
        let errors = retrieve_meter_errors(&server.transport(), "evt_1").await;
        let error = |code: &str, count, identifiers: &[&str]| MeterError {
            code: code.to_owned(),
            count,
            identifiers: identifiers.iter().map(|id| (*id).to_owned()).collect(),
        };
        assert_eq!(errors, Ok(Some(vec![error("no_meter", 3, &["tg-1"]), error("unknown", 0, &[])])));
        let request = &server.received()[0];
        assert_eq!(request.target, "/v2/core/events/evt_1");
        assert!(request.header("stripe-version").is_some());
    }

    #[tokio::test]
    async fn an_event_that_is_gone_is_none_and_anything_else_is_no_report() {
        let missing = json!({ "error": { "type": "invalid_request_error", "code": "not_found" } });
        let server = TestServer::start([says(404, missing), says(200, "{}")]).await;
        let transport = server.transport();
        assert_eq!(retrieve_meter_errors(&transport, "evt_1").await, Ok(None));
        retrieve_meter_errors(&transport, "evt_1").await.expect_err("no report");
        retrieve_meter_errors(&transport, "../x").await.expect_err("no id");
    }
}
