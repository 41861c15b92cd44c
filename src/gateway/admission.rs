//! Before the upstream: route, identity, customer, reservation. Every way out is a [`Problem`], and costs nothing.

use std::sync::atomic::Ordering;

use http::{HeaderMap, Method};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::auth::Identity;
use crate::customers::{Denied, Entry, Reservation};
use crate::domain::idempotency::Digest;
use crate::domain::path::NormalPath;
use crate::domain::refusal::Refusal;
use crate::domain::route::{Found, Route};
use crate::problem::{Code, Problem};
use crate::store::StoreError;

use super::context::{Charge, Context};
use super::{Parts, limits};

/// A URI beyond this is refused, as nginx does by default.
const MAX_URI_BYTES: usize = 8 * 1024;
/// All header names and values together.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// A customer whose tokens disagree about their Stripe customer is loaded again at most so often.
const LOAD_ATTEMPTS: usize = 3;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// To the route's upstream.
    Upstream,
    /// To one of the gateway's own endpoints.
    Own,
    /// Back to the browser that asks whether it may ask.
    Browser,
}

/// Why a request goes nowhere.
#[derive(Debug)]
pub(super) enum Stopped {
    Refused(Problem),
    /// The client broke off before it had sent what the decision needs.
    BrokenOff(Box<pingora::Error>),
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl Parts {
    /// Decides over a request, and leaves what later phases need in the context.
    pub(super) async fn admit(
        &self,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> Result<Destination, Stopped> {
        let destination = self.identify(session.req_header(), context).await?;
        if let (Some(route), Some(identity)) = (context.route, context.identity.clone()) {
            let route = self.catalogue.routes.get(route);
            let key = self.idempotency_key(session, route, context).await?;
            let reservation = self.reserve(&identity, route, key, context).await?;
            if route.is_charged() {
                context.member = self.member_number(&identity, reservation.entry().number).await?;
            }
            context.charge = Charge::Held(reservation);
        }
        Ok(destination)
    }

    /// Who asks for which route.
    async fn identify(&self, request: &RequestHeader, context: &mut Context) -> Result<Destination, Problem> {
        check_sizes(request)?;
        if self.flow.closed.load(Ordering::SeqCst) {
            return Err(Problem::new(Code::Draining, "this gateway is shutting down; try again"));
        }
        let path = NormalPath::parse(request.uri.path())
            .map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
        if self.settings.own_paths.hold(path.matched()) {
            context.forwarded_path = Some(with_query(path.matched(), request.uri.query()));
            return Ok(Destination::Own);
        }
        let preflight = asked_for_by_preflight(request);
        let method = preflight.as_ref().unwrap_or(&request.method);
        let route = self.route(&path, method)?;
        context.route = Some(route.id);
        if self.hears_pages(route.id, &request.headers, context) && preflight.is_some() {
            return Ok(Destination::Browser);
        }
        if path.forwarded() != request.uri.path() {
            context.forwarded_path = Some(with_query(path.forwarded(), request.uri.query()));
        }
        self.check_length(&request.headers)?;
        if route.public || preflight.is_some() {
            return Ok(Destination::Upstream);
        }
        let identity = self.authenticator.identify(&request.headers, context.now.seconds()).await?;
        context.identity = Some(identity.clone());
        if route.is_charged() && !self.ledger.is_available() {
            return Err(ledger_unavailable());
        }
        Ok(Destination::Upstream)
    }

    fn route(&self, path: &NormalPath<'_>, method: &Method) -> Result<&Route, Problem> {
        match self.catalogue.routes.find(path, method) {
            Found::Route(route) => Ok(route),
            Found::MethodNotAllowed(allow) => {
                let detail = format!("this path answers {allow}");
                Err(Problem { allow: Some(allow), ..Problem::new(Code::MethodNotAllowed, detail) })
            }
            Found::Ambiguous => {
                let detail = "another route has this path for some servers; leave out `;`, `%3B`, `%3F`, `%23`";
                Err(Problem::new(Code::BadRequest, detail))
            }
            Found::Nothing => {
                let detail = "no route has this path; GET the pricing endpoint to see the routes";
                Err(Problem::new(Code::RouteNotFound, detail))
            }
        }
    }

    /// Refuses a declared length that is too large before anything is reserved.
    fn check_length(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let declared = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match declared.and_then(|length| length.parse::<u64>().ok()) {
            Some(length) if length > self.settings.max_body => Err(self.body_too_large()),
            _ => Ok(()),
        }
    }

    pub(super) fn body_too_large(&self) -> Problem {
        let detail = format!("send at most {} bytes", self.settings.max_body);
        Problem::new(Code::BodyTooLarge, detail)
    }

    /// Asked of the store once per verified token, unless its name has come to stand for another customer since.
    async fn member_number(&self, identity: &Identity, customer: u32) -> Result<u32, Problem> {
        let Some(member) = &identity.member else { return Ok(0) };
        if let Some((of, number)) = identity.member_number.get()
            && *of == customer
        {
            return Ok(*number);
        }
        let number =
            self.customers.member_number(customer, member).await.map_err(|error| store_problem(&error))?;
        // Another request with this token may have been quicker: it asked for the same.
        let _ = identity.member_number.set((customer, number));
        Ok(number)
    }

    async fn reserve(
        &self,
        identity: &Identity,
        route: &Route,
        key: Option<Digest>,
        context: &mut Context,
    ) -> Result<Reservation, Problem> {
        // A body that was read first may have taken long to come.
        let now = if context.read_ahead { context.settle_at() } else { context.now };
        let claimed = identity.stripe_customer.as_deref();
        let mut known = self.customers.get(&identity.customer);
        for _ in 0..LOAD_ATTEMPTS {
            let entry = match known.take() {
                Some(entry) => entry,
                None => self
                    .customers
                    .load(&identity.customer, claimed, now)
                    .await
                    .map_err(|error| store_problem(&error))?,
            };
            if let (Some(fleet), Some(key)) = (&self.fleet, key) {
                Box::pin(self.hear_of_key(fleet, &entry, key, now)).await;
            }
            match entry.admit(claimed, route, key, now) {
                Ok(reservation) => return Ok(reservation),
                Err(Denied::Refused(refusal)) => return Err(self.refused(&entry, route, &refusal, context)),
                Err(Denied::Stale) => {}
                Err(Denied::Refill) => {
                    // On the heap: where there is no fleet nothing of it is moved about.
                    let waits = self.customers.admit_with_fleet(&entry, claimed, route, key, now);
                    match Box::pin(waits).await {
                        Ok(reservation) => return Ok(reservation),
                        Err(Denied::Refused(refusal)) => {
                            return Err(self.refused(&entry, route, &refusal, context));
                        }
                        Err(Denied::Stale) => {}
                        Err(Denied::Refill) => return Err(fleet_unavailable()),
                    }
                }
            }
        }
        Err(Problem::new(Code::Internal, "try again"))
    }

    /// The refusal in words, with the limits as they stand.
    fn refused(&self, entry: &Entry, route: &Route, refusal: &Refusal, context: &mut Context) -> Problem {
        if *refusal == Refusal::SpendCapReached {
            self.customers.note_capped(entry, context.now);
        }
        let policies = entry.policies(route, self.catalogue.currency, context.now);
        if route.is_charged() {
            context.shown_headers = self.limit_headers(&policies);
        }
        limits::refusal(self, refusal, &policies, context.now)
    }
}

fn check_sizes(request: &RequestHeader) -> Result<(), Problem> {
    let uri = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if uri > MAX_URI_BYTES {
        return Err(Problem::new(Code::UriTooLong, "send a path and query of at most 8 KiB"));
    }
    let headers: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADER_BYTES {
        return Err(Problem::new(Code::HeadersTooLarge, "send at most 64 KiB of headers"));
    }
    Ok(())
}

/// The method that a CORS preflight asks about; it needs no token and costs nothing.
fn asked_for_by_preflight(request: &RequestHeader) -> Option<Method> {
    if request.method != Method::OPTIONS {
        return None;
    }
    let asked = request.headers.get(http::header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}

pub(super) fn with_query(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn store_problem(error: &StoreError) -> Problem {
    tracing::error!(%error, "a customer could not be loaded");
    ledger_unavailable()
}

fn fleet_unavailable() -> Problem {
    Problem::new(
        Code::FleetUnavailable,
        "the limits that all gateways share cannot be asked now; nothing was charged, try again shortly",
    )
}

pub(super) fn ledger_unavailable() -> Problem {
    Problem::new(
        Code::LedgerUnavailable,
        "usage cannot be recorded now; nothing was charged, try again shortly",
    )
}
