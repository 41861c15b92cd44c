//! Before the upstream: route, identity, customer, reservation. Every way out is a [`Problem`], and costs nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, Method};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::auth::Identity;
use crate::config::Limits;
use crate::customers::{Denied, Entry, Reservation};
use crate::domain::account::{By, ByMember, Policies};
use crate::domain::anonymous::customer_of;
use crate::domain::idempotency::Digest;
use crate::domain::path::{NormalPath, PathError};
use crate::domain::refusal::Refusal;
use crate::domain::route::{Authentication, Found, Route};
use crate::domain::usage::{MemberId, Now};
use crate::problem::{Code, Problem};
use crate::store::StoreError;

use super::context::{Charge, Context};
use super::{Parts, client, limits};

/// A customer whose tokens disagree about their Stripe customer is loaded again at most so often.
const LOAD_ATTEMPTS: usize = 3;

/// By then some have left memory.
const CROWDED_SECONDS: u64 = 60;

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
            let customer = reservation.entry().number;
            context.charge = Charge::Held(reservation);
            if route.is_charged() && context.member == 0 {
                context.member = self.member_number(&identity, customer).await?;
            }
        }
        Ok(destination)
    }

    /// Who asks for which route.
    async fn identify(&self, request: &RequestHeader, context: &mut Context) -> Result<Destination, Problem> {
        check_sizes(request, &self.settings.limits)?;
        if self.flow.closed.load(Ordering::SeqCst) {
            return Err(Problem::new(Code::Draining, "this gateway is shutting down; try again"));
        }
        let preflight = asked_for_by_preflight(request);
        let method = preflight.as_ref().unwrap_or(&request.method);
        let (path, route) = match NormalPath::parse(request.uri.path()) {
            Ok(path) if self.settings.own_paths.hold(path.matched()) => {
                context.forwarded_path = Some(with_query(path.matched(), request.uri.query()));
                return Ok(Destination::Own);
            }
            Ok(path) => {
                let route = self.route(&path, method)?;
                (path, route)
            }
            Err(error) => self.route_with_slashes(request.uri.path(), method, error)?,
        };
        context.route = Some(route.id);
        if self.hears_pages(route.id, &request.headers, context) && preflight.is_some() {
            return Ok(Destination::Browser);
        }
        if let Some(path) = route.extras.as_ref().and_then(|extras| extras.rewrite.apply(&path)) {
            context.forwarded_path = Some(with_query(&path, request.uri.query()));
        } else if path.forwarded() != request.uri.path() {
            context.forwarded_path = Some(with_query(path.forwarded(), request.uri.query()));
        }
        self.check_length(route, &request.headers)?;
        if route.public || preflight.is_some() {
            return Ok(Destination::Upstream);
        }
        let identity = self.caller(route, request, context).await?;
        context.identity = Some(identity.clone());
        self.check_scopes(route, &identity)?;
        if route.is_charged() && !self.ledger.is_available() {
            return Err(ledger_unavailable());
        }
        Ok(Destination::Upstream)
    }

    /// The route of a request that has not been decided over; none where it will be refused.
    pub(super) fn route_asked_for(&self, request: &RequestHeader) -> Option<&Route> {
        let preflight = asked_for_by_preflight(request);
        let (path, method) = (request.uri.path(), preflight.as_ref().unwrap_or(&request.method));
        match NormalPath::parse(path) {
            Ok(path) => self.route(&path, method).ok(),
            Err(error) => self.route_with_slashes(path, method, error).ok().map(|(_, route)| route),
        }
    }

    /// A path that is refused with `error`, unless that is for an encoded slash which its route lets pass.
    fn route_with_slashes<'a>(
        &self,
        path: &'a str,
        method: &Method,
        error: PathError,
    ) -> Result<(NormalPath<'a>, &Route), Problem> {
        let refused = || Problem::new(Code::BadRequest, error.to_string());
        let path = NormalPath::parse_with_slashes(path).map_err(|_| refused())?;
        let keeps = |route: &&Route| route.extras.as_ref().is_some_and(|extras| extras.encoded_slashes);
        let route = self.route(&path, method).ok().filter(keeps).ok_or_else(refused)?;
        Ok((path, route))
    }

    fn route(&self, path: &NormalPath<'_>, method: &Method) -> Result<&Route, Problem> {
        match self.catalogue.routes.find(path, method) {
            Found::Route(route) => Ok(route),
            Found::MethodNotAllowed(allow) => {
                let detail = format!("this path answers {allow}");
                Err(Problem { allow: Some(allow), ..Problem::new(Code::MethodNotAllowed, detail) })
            }
            Found::Ambiguous => {
                let detail =
                    "another route has this path for some servers; leave out `;`, `%3B`, `%3F`, `%23`";
                Err(Problem::new(Code::BadRequest, detail))
            }
            Found::Nothing => {
                let detail = "no route has this path; GET the pricing endpoint to see the routes";
                Err(Problem::new(Code::RouteNotFound, detail))
            }
        }
    }

    /// Who calls: by what the request shows, else by the client's certificate, else, where a route allows that, by where
    /// it comes from. What is shown must be good everywhere.
    async fn caller(
        &self,
        route: &Route,
        request: &RequestHeader,
        context: &Context,
    ) -> Result<Arc<Identity>, Problem> {
        let headers = &request.headers;
        if let Some(certified) = self.certified(headers, context) {
            return Ok(certified);
        }
        if let Some(anonymous) = self.anonymous(route, headers, context)? {
            return Ok(anonymous);
        }
        let client = || self.client(headers, &context.connection);
        Ok(self.authenticator.identify(headers, context.now.seconds(), client).await?)
    }

    /// Whom the client's certificate names, for a request that shows nothing else.
    pub(super) fn certified(&self, headers: &HeaderMap, context: &Context) -> Option<Arc<Identity>> {
        // The connection may be older than the configuration.
        self.settings.client_certificate?;
        let named = context.connection.named.as_ref()?;
        self.authenticator.is_shown_nothing(headers).then(|| named.clone())
    }

    fn anonymous(
        &self,
        route: &Route,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Option<Arc<Identity>>, Problem> {
        let is_optional =
            route.extras.as_ref().is_some_and(|extras| extras.authentication == Authentication::Optional);
        let (Some(networks), true) = (self.settings.anonymous, is_optional) else { return Ok(None) };
        if !self.authenticator.is_shown_nothing(headers) {
            return Ok(None);
        }
        let Some(address) = self.client(headers, &context.connection) else { return Ok(None) };
        let customer = customer_of(client::network(networks, address));
        if !self.customers.has_room_for(&customer) {
            let detail = "there are too many callers without a token now; show one, or come back later";
            let problem = Problem::new(Code::RateLimited, detail);
            return Err(Problem { retry_after: Some(CROWDED_SECONDS), ..problem });
        }
        Ok(Identity::anonymous(&customer))
    }

    /// Who is bound to scopes must hold those that the route asks for.
    fn check_scopes(&self, route: &Route, identity: &Identity) -> Result<(), Problem> {
        let Some(extras) = &route.extras else { return Ok(()) };
        let mut asked = extras.scopes.indices().filter_map(|index| self.catalogue.scopes.get(index));
        match asked.find(|scope| !identity.scopes.hold(scope)) {
            None => Ok(()),
            Some(missing) => {
                let detail = format!("this needs the scope {missing:?}, which your key or token lacks");
                Err(Problem::new(Code::ScopeMissing, detail))
            }
        }
    }

    /// Refuses a declared length that is too large before anything is reserved.
    fn check_length(&self, route: &Route, headers: &HeaderMap) -> Result<(), Problem> {
        let declared = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match declared.and_then(|length| length.parse().ok()) {
            Some(length) => self.check_body(route, length),
            None => Ok(()),
        }
    }

    /// Refuses a body that is this long.
    pub(super) fn check_body(&self, route: &Route, bytes: u64) -> Result<(), Problem> {
        let own = route.extras.as_ref().and_then(|extras| extras.max_body);
        match own.unwrap_or(self.settings.max_body) {
            // A route's way to say that there is none.
            0 if own.is_some() => Ok(()),
            most if bytes <= most => Ok(()),
            most => Err(Problem::new(Code::BodyTooLarge, format!("send at most {most} bytes"))),
        }
    }

    /// Asked of the store once per verified token, unless its name has come to stand for another customer since.
    pub(super) async fn member_number(&self, identity: &Identity, customer: u32) -> Result<u32, Problem> {
        let Some(member) = &identity.member else { return Ok(0) };
        if let Some((of, number)) = identity.member_number.get()
            && *of == customer
        {
            return Ok(*number);
        }
        let number = self.number_member(customer, member).await?;
        // Another request with this token may have been quicker: it asked for the same.
        let _ = identity.member_number.set((customer, number));
        Ok(number)
    }

    pub(super) async fn reserve_here(
        &self,
        identity: &Identity,
        route: &Route,
        key: Option<Digest>,
        context: &mut Context,
    ) -> Result<Reservation, Problem> {
        let now = context.asked_at();
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
            let mut by = By::from(key);
            if self.caps_members {
                context.member = self.member_number(identity, entry.number).await?;
                by.member = MemberId::new(context.member).map(ByMember::from);
            }
            if let (Some(fleet), Some(key)) = (&self.fleet, key) {
                Box::pin(self.hear_of_key(fleet, &entry, key, now)).await;
            }
            match entry.admit(claimed, route, by, now) {
                Ok(reservation) => return Ok(reservation),
                Err(denied @ Denied::Refused(_)) => return self.denied(&entry, route, &denied, context),
                Err(Denied::Stale) => {}
                Err(Denied::Refill) => {
                    // On the heap: where there is no fleet nothing of it is moved about.
                    let waits = self.customers.admit_with_fleet(&entry, claimed, route, by, now);
                    match Box::pin(waits).await {
                        Ok(reservation) => return Ok(reservation),
                        Err(Denied::Stale) => {}
                        Err(denied) => return self.denied(&entry, route, &denied, context),
                    }
                }
            }
        }
        Err(Problem::new(Code::Internal, "try again"))
    }

    pub(super) fn refused(
        &self,
        entry: &Entry,
        route: &Route,
        refusal: &Refusal,
        context: &mut Context,
    ) -> Problem {
        let member = MemberId::new(context.member);
        let (problem, policies) = self.refusal(entry, (route, member), refusal, context.now);
        if route.is_charged() {
            context.shown_headers = self.limit_headers(&policies);
        }
        problem
    }

    /// A refusal in words, and the limits as they stand.
    pub(super) fn refusal(
        &self,
        entry: &Entry,
        (route, member): (&Route, Option<MemberId>),
        refusal: &Refusal,
        now: Now,
    ) -> (Problem, Policies) {
        if *refusal == Refusal::SpendCapReached {
            self.customers.note_capped(entry, now);
        }
        let policies = entry.policies(route, member, self.catalogue.currency, now);
        (limits::refusal(self, refusal, &policies, now), policies)
    }
}

fn check_sizes(request: &RequestHeader, limits: &Limits) -> Result<(), Problem> {
    let uri = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if uri as u64 > limits.max_uri {
        let detail = format!("send a path and query of at most {} bytes", limits.max_uri);
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    if request.headers.len() > limits.max_headers {
        let detail = format!("send at most {} headers", limits.max_headers);
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    let headers: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers as u64 > limits.max_header_bytes {
        let detail = format!("send at most {} bytes of headers", limits.max_header_bytes);
        return Err(Problem::new(Code::HeadersTooLarge, detail));
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

pub(super) fn store_problem(error: &StoreError) -> Problem {
    tracing::error!(%error, "a customer could not be loaded");
    ledger_unavailable()
}

pub(super) fn fleet_unavailable() -> Problem {
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
