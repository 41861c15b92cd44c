//! What limits refuse and is served all the same, and who is told of it.
//!
//! A customer who is over a limit is over it for many requests: a line of the log tells of the first of them in a
//! minute, and the metric counts them all.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::customers::{Denied, Entry, Reservation};
use crate::domain::period::rfc3339;
use crate::domain::refusal::Refusal;
use crate::domain::route::Route;
use crate::domain::tier::{Mode, TierId};
use crate::domain::usage::{MemberId, Now};
use crate::news;
use crate::problem::{Code, Problem};

use super::admission::fleet_unavailable;
use super::context::Context;
use super::limits::code_of;
use super::{Parts, RequestId};

/// A customer and a code are told of once in so many seconds.
const TOLD_EVERY: i64 = 60;
/// Of so many in that time; those who come behind them are only counted.
const MOST_TOLD: usize = 10_000;

/// Who has been told of lately.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    since: i64,
    whom: HashSet<(u32, &'static str)>,
}

impl Told {
    /// Whether a line is due, which then counts as written.
    fn is_due(&self, customer: u32, code: Code, now: Now) -> bool {
        // A set is whole whatever happened to who held it.
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !(0..TOLD_EVERY).contains(&now.seconds().saturating_sub(lately.since)) {
            lately.since = now.seconds();
            lately.whom.clear();
        }
        lately.whom.len() < MOST_TOLD && lately.whom.insert((customer, code.as_str()))
    }
}

impl Parts {
    /// What becomes of a request that has been denied: in shadow it passes.
    pub(super) fn denied(
        &self,
        entry: &Arc<Entry>,
        route: &Route,
        denied: &Denied,
        context: &mut Context,
    ) -> Result<Reservation, Problem> {
        let (refusal, code) = understood(denied);
        let member = MemberId::new(context.member);
        if let Some(reservation) = entry.pass_in_shadow(route, member, context.now) {
            context.in_shadow = Some(code);
            self.note_shadow(entry, route, code, (context.request_id, context.now));
            return Ok(reservation);
        }
        Err(refusal.map_or_else(fleet_unavailable, |refusal| self.refused(entry, route, refusal, context)))
    }

    /// The same of more for an exchange that is open, and began under a tier: whether it goes on.
    pub(super) fn goes_on_in_shadow(
        &self,
        entry: &Entry,
        denied: &Denied,
        (route, tier): (&Route, TierId),
        request: (RequestId, Now),
    ) -> bool {
        let tier = self.catalogue.tiers.get(tier.index());
        let is_shadow = [Some(route.mode()), tier.map(|tier| tier.mode)].contains(&Some(Mode::Shadow));
        let passes = is_shadow && !entry.is_blocked();
        if passes {
            self.note_shadow(entry, route, understood(denied).1, request);
        }
        passes
    }

    fn note_shadow(&self, entry: &Entry, route: &Route, code: Code, (request_id, now): (RequestId, Now)) {
        self.counters.refused_in_shadow(code);
        let (code_name, route, customer) = (code.as_str(), &*route.pattern, &*entry.name);
        if self.told_of_shadow.is_due(entry.number, code, now) {
            tracing::info!(code = code_name, route, customer, %request_id, "served in shadow: would be refused");
        }
        news::tell("shadow_refusal", || {
            json!({
                "at": rfc3339(now.seconds()),
                "code": code_name,
                "route": route,
                "customer": customer,
                "request_id": request_id.to_string(),
            })
        });
    }
}

/// None: what all gateways share could not be asked.
fn understood(denied: &Denied) -> (Option<&Refusal>, Code) {
    match denied {
        Denied::Refused(refusal) => (Some(refusal), code_of(refusal)),
        Denied::Stale | Denied::Refill => (None, Code::FleetUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_and_a_code_are_told_of_once_a_minute_however_often_and_many_are_refused() {
        let told = Told::default();
        let due = |customer, code, second| told.is_due(customer, code, Now::from_seconds(second));
        assert!(due(1, Code::RateLimited, 1_000));
        assert!(!due(1, Code::RateLimited, 1_059));
        assert!(due(1, Code::QuotaExceeded, 1_059) && due(2, Code::RateLimited, 1_059));
        assert!(due(1, Code::RateLimited, 1_060), "another minute");
        assert!(due(1, Code::RateLimited, 1_000), "the clock was set back");
        let most = u32::try_from(MOST_TOLD).expect("few");
        let lines = (0..2 * most).filter(|customer| due(*customer, Code::RateLimited, 1_001)).count();
        assert_eq!(lines, MOST_TOLD - 1, "one was told of before");
    }
}
