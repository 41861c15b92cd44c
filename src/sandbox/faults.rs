//! Failures on request: the next calls of an operation fail, or some of them at random, before or after they took
//! effect.

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
    Status(Refusal),
    /// An error with an HTML body, as a proxy before Stripe gives.
    Html(u16),
    /// No answer: the connection ends.
    HangUp,
}

/// An error in Stripe's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: Option<Code>,
    /// `Stripe-Should-Retry`.
    pub should_retry: Option<bool>,
    /// Whether it is kept under the idempotency key.
    pub kept: bool,
}

/// The codes that tell a caller to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    LockTimeout,
    IdempotencyKeyInUse,
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
    often: Often,
    struck: u64,
    fault: Fault,
}

#[derive(Debug)]
enum Often {
    /// So many calls more.
    Times(u64),
    /// Each call with this chance, until all faults are forgotten.
    Percent(u64, Chance),
}

/// A generator of random numbers (`SplitMix64`), so that a run can be repeated by its seed.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn percent(&mut self, percent: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100 < percent
    }
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
            other => return Err(invalid("when", format!("must be before or after; got {other}"))),
        };
        self.planned.push(Planned {
            operation: params.required("operation")?.to_owned(),
            often: often(params)?,
            struck: 0,
            fault: Fault {
                delay: Duration::from_millis(params.count("delay_ms")?.unwrap_or(0)),
                failure: failure(params, moment)?,
                moment,
            },
        });
        Ok(())
    }

    /// The fault that the next call of an operation meets, if any.
    pub fn take(&mut self, operation: &str) -> Option<Fault> {
        let mut planned = self.planned.iter_mut().filter(|p| matches(&p.operation, operation));
        let struck = planned.find_map(|planned| planned.strikes().then_some(planned))?;
        struck.struck += 1;
        let fault = struck.fault;
        self.planned.retain(|planned| !matches!(planned.often, Often::Times(0)));
        Some(fault)
    }

    pub fn clear(&mut self) {
        self.planned.clear();
    }

    pub fn json(&self) -> Value {
        let planned = self.planned.iter();
        planned
            .map(|planned| match planned.often {
                Often::Times(times) => json!({"operation": planned.operation, "times": times}),
                Often::Percent(percent, _) => {
                    json!({"operation": planned.operation, "percent": percent, "struck": planned.struck})
                }
            })
            .collect()
    }
}

impl Planned {
    fn strikes(&mut self) -> bool {
        match &mut self.often {
            Often::Times(times) => {
                let strikes = *times > 0;
                *times = times.saturating_sub(1);
                strikes
            }
            Often::Percent(percent, chance) => chance.percent(*percent),
        }
    }
}

fn often(params: &Params) -> Result<Often, ApiError> {
    match params.count("percent")? {
        None => Ok(Often::Times(params.count("times")?.unwrap_or(1))),
        Some(percent @ 1..=100) => Ok(Often::Percent(percent, Chance(params.count("seed")?.unwrap_or(0)))),
        Some(_) => Err(invalid("percent", "must be 1 to 100")),
    }
}

fn failure(params: &Params, moment: Moment) -> Result<Option<Failure>, ApiError> {
    if params.boolean("drop")? == Some(true) {
        return Ok(Some(Failure::HangUp));
    }
    let Some(status) = params.count("status")? else {
        return Ok(None);
    };
    let status = u16::try_from(status).ok().filter(|status| (400..=599).contains(status));
    let status = status.ok_or_else(|| invalid("status", "a fault's status is 400 to 599"))?;
    if params.boolean("html")? == Some(true) {
        return Ok(Some(Failure::Html(status)));
    }
    let code = match params.filled("code") {
        None => None,
        Some("lock_timeout") => Some(Code::LockTimeout),
        Some("idempotency_key_in_use") => Some(Code::IdempotencyKeyInUse),
        Some(other) => {
            return Err(invalid("code", format!("lock_timeout or idempotency_key_in_use; got {other}")));
        }
    };
    // A 500 after execution began is kept; refusals for load are not.
    let began = moment == Moment::After && status >= 500;
    Ok(Some(Failure::Status(Refusal {
        status,
        code,
        should_retry: params.boolean("should_retry")?,
        kept: params.boolean("saved")?.unwrap_or(began),
    })))
}

fn invalid(name: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::parameter(name, "parameter_invalid", format!("Invalid {name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(raw: &str) -> Faults {
        let mut faults = Faults::default();
        faults.plan(&Params::decode(raw).expect("valid")).expect("valid");
        faults
    }

    #[test]
    fn a_fault_strikes_its_operation_as_often_as_asked() {
        let mut faults = faults("operation=customers.create&times=2&status=500&when=after");
        assert_eq!(faults.take("customers.retrieve"), None);
        let struck = faults.take("customers.create").expect("valid");
        let refusal = Refusal { status: 500, code: None, should_retry: None, kept: true };
        assert_eq!((struck.failure, struck.moment), (Some(Failure::Status(refusal)), Moment::After));
        assert!(faults.take("customers.create").is_some());
        assert_eq!(faults.take("customers.create"), None);
    }

    #[test]
    fn a_star_strikes_everything() {
        let mut faults = faults("operation=*&drop=true&delay_ms=5");
        let struck = faults.take("events.list").expect("valid");
        assert_eq!((struck.failure, struck.delay), (Some(Failure::HangUp), Duration::from_millis(5)));
    }

    #[test]
    fn a_fault_with_a_chance_strikes_about_as_often_and_stays_until_it_is_forgotten() {
        let mut faults = faults("operation=*&drop=true&percent=20&seed=7");
        let struck = (0..1_000).filter(|_| faults.take("events.list").is_some()).count();
        assert!((150..250).contains(&struck), "{struck}");
        assert_eq!(faults.json(), json!([{"operation": "*", "percent": 20, "struck": struck}]));
        faults.clear();
        assert!((0..1_000).all(|_| faults.take("events.list").is_none()));
    }

    #[test]
    fn a_chance_that_misses_leaves_the_call_to_the_next_fault() {
        let mut faults = faults("operation=*&status=500&percent=1&seed=7");
        faults.plan(&Params::decode("operation=*&drop=true&percent=100").expect("valid")).expect("valid");
        let dropped = |fault: Fault| fault.failure == Some(Failure::HangUp);
        assert!((0..100).filter(|_| faults.take("events.list").is_some_and(dropped)).count() > 90);
    }

    #[test]
    fn nonsense_is_refused() {
        for raw in [
            "status=500",
            "operation=*&status=200",
            "operation=*&when=never",
            "operation=*&percent=101",
            "operation=*&status=409&code=other",
        ] {
            assert!(Faults::default().plan(&Params::decode(raw).expect("valid")).is_err(), "{raw}");
        }
    }
}
