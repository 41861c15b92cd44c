//! Failures on request: the next calls of an operation fail, before or after they took effect.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::ApiError;
use super::events::matches;
use super::params::Params;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub delay: Duration,
    pub failure: Option<Failure>,
    pub moment: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// An error in Stripe's shape.
    Status(u16),
    /// An error with an HTML body, as a proxy before Stripe gives.
    Html(u16),
    /// No answer: the connection ends.
    HangUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing happened, and nothing is kept under the idempotency key.
    Before,
    /// The call took effect, but the caller does not hear of it.
    After,
}

#[derive(Debug)]
struct Planned {
    operation: String,
    remaining: u64,
    fault: Fault,
}

#[derive(Debug, Default)]
pub struct Faults {
    planned: Vec<Planned>,
}

impl Faults {
    /// Plans a fault from a request to the hook.
    pub fn plan(&mut self, params: &Params) -> Result<(), ApiError> {
        let moment = match params.filled("when").unwrap_or("before") {
            "before" => Moment::Before,
            "after" => Moment::After,
            other => {
                let message = format!("Invalid when: must be before or after; got {other}");
                return Err(ApiError::parameter("when", "parameter_invalid", message));
            }
        };
        self.planned.push(Planned {
            operation: params.required("operation")?.to_owned(),
            remaining: params.count("times")?.unwrap_or(1),
            fault: Fault {
                delay: Duration::from_millis(params.count("delay_ms")?.unwrap_or(0)),
                failure: failure(params)?,
                moment,
            },
        });
        Ok(())
    }

    /// The fault that the next call of an operation meets, if one is planned.
    pub fn take(&mut self, operation: &str) -> Option<Fault> {
        let at = self.planned.iter().position(|p| p.remaining > 0 && matches(&p.operation, operation))?;
        let planned = &mut self.planned[at];
        planned.remaining -= 1;
        let fault = planned.fault;
        if planned.remaining == 0 {
            self.planned.remove(at);
        }
        Some(fault)
    }

    pub fn clear(&mut self) {
        self.planned.clear();
    }

    pub fn json(&self) -> Value {
        let planned = self.planned.iter();
        planned.map(|p| json!({"operation": p.operation, "times": p.remaining})).collect()
    }
}

fn failure(params: &Params) -> Result<Option<Failure>, ApiError> {
    if params.boolean("drop")? == Some(true) {
        return Ok(Some(Failure::HangUp));
    }
    let Some(status) = params.count("status")? else {
        return Ok(None);
    };
    let status = u16::try_from(status).ok().filter(|status| (400..=599).contains(status));
    let status = status.ok_or_else(|| {
        ApiError::parameter("status", "parameter_invalid", "A fault's status is 400 to 599.")
    })?;
    let html = params.boolean("html")? == Some(true);
    Ok(Some(if html { Failure::Html(status) } else { Failure::Status(status) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(raw: &str) -> Faults {
        let mut faults = Faults::default();
        faults.plan(&Params::decode(raw).unwrap()).unwrap();
        faults
    }

    #[test]
    fn a_fault_strikes_its_operation_as_often_as_asked() {
        let mut faults = faults("operation=customers.create&times=2&status=500&when=after");
        assert_eq!(faults.take("customers.retrieve"), None);
        let struck = faults.take("customers.create").unwrap();
        assert_eq!((struck.failure, struck.moment), (Some(Failure::Status(500)), Moment::After));
        assert!(faults.take("customers.create").is_some());
        assert_eq!(faults.take("customers.create"), None);
    }

    #[test]
    fn a_star_strikes_everything() {
        let mut faults = faults("operation=*&drop=true&delay_ms=5");
        let struck = faults.take("events.list").unwrap();
        assert_eq!((struck.failure, struck.delay), (Some(Failure::HangUp), Duration::from_millis(5)));
    }

    #[test]
    fn nonsense_is_refused() {
        for raw in ["status=500", "operation=*&status=200", "operation=*&when=never"] {
            assert!(Faults::default().plan(&Params::decode(raw).unwrap()).is_err(), "{raw}");
        }
    }
}
