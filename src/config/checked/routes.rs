//! `[[routes]]` and `[routes_default]`.

use std::sync::Arc;

use super::catalogue::References;
use super::extras::Shared;
use super::{callers, costs, edges, extras, rates};
use crate::config::containers::ByName;
use crate::config::findings::{At, Findings, Place, suggestion};
use crate::config::read::Given;
use crate::config::values::status::Statuses;
use crate::config::written;
use crate::domain::measure::Measured;
use crate::domain::rate::Rate;
use crate::domain::route::{
    Extras, Methods, Route, RouteConflict, RouteId, RouteTable, StatusSet, UpstreamId,
};
use crate::domain::tier::FeatureSet;
use crate::domain::units::{Cost, MeterId};

/// Every route is a label of metrics.
const MOST_ROUTES: usize = 10_000;
/// The name of `[routes_default]` where routes are named; no path is spelt so.
const DEFAULT_PATTERN: &str = "*";

pub(super) struct Routes {
    /// The names of scopes, by bit.
    pub scopes: Vec<String>,
    /// `None` where routes are in conflict.
    pub table: Option<RouteTable>,
    /// Meters that some request costs units of, each once.
    pub costed: Vec<MeterId>,
}

pub(super) fn check(written: &written::Root, references: &References, found: &mut Findings) -> Routes {
    let list = written.routes.get().map_or(&[][..], |routes| routes);
    if list.is_empty() && !matches!(written.routes, Given::Wrong) && written.routes_default.is_left_out() {
        let place = Place { key: "routes".into(), span: 0..0 };
        found.error(
            &place,
            "there is no route, so every request would be 404",
            "write at least one [[routes]]",
        );
    }
    if list.len() > MOST_ROUTES {
        found.error(&list[MOST_ROUTES].place, "there are too many routes", "write at most 10000");
    }
    let shared = shared(written, list, found);
    let mut places = Vec::with_capacity(list.len());
    let mut routes: Vec<Route> = Vec::with_capacity(list.len());
    for At { value: route, .. } in list.iter().take(MOST_ROUTES) {
        let shape = shape(route, &written.billing.value.paths.value, found);
        let pattern = route.path.get().map(|path| path.0.as_str());
        let terms = Terms { written: &route.terms, references, shared: &shared, pattern }.check(found);
        check_override(route, found);
        if let (Some((place, pattern, methods)), Ok(id)) = (shape, u16::try_from(routes.len())) {
            places.push(place);
            routes.push(terms.route(RouteId(id), pattern, methods));
        }
    }
    let default = written.routes_default.get().and_then(|default| {
        let terms =
            Terms { written: &default.terms, references, shared: &shared, pattern: None }.check(found);
        let id = RouteId(u16::try_from(routes.len()).ok()?);
        Some(terms.route(id, DEFAULT_PATTERN.into(), Methods::All))
    });
    let costed = costed(routes.iter().chain(&default));
    Routes { table: build(routes, default, &places, found), costed, scopes: shared.scopes }
}

fn shared(written: &written::Root, list: &[At<written::Route>], found: &mut Findings) -> Shared {
    let default = written.routes_default.get().map(|default| &default.terms);
    let terms: Vec<_> = list.iter().map(|route| &route.value.terms).chain(default).collect();
    Shared {
        scopes: callers::scopes(&terms, found),
        cors: written.cors.get().and_then(|cors| edges::cors(cors, found)),
        headers: written.headers.get().map(|headers| edges::headers(headers, found)),
        anonymous: written.auth.get().is_none_or(|auth| !auth.anonymous.is_left_out()),
    }
}

fn build(
    routes: Vec<Route>,
    default: Option<Route>,
    places: &[Place],
    found: &mut Findings,
) -> Option<RouteTable> {
    let conflicts = match RouteTable::build(routes, default) {
        Ok(table) => return Some(table),
        Err(conflicts) => conflicts,
    };
    for (index, conflict) in conflicts {
        let help = match conflict {
            RouteConflict::Pattern(_) => "write a path that no other route's parameters contradict",
            RouteConflict::Same(_) => "each path and method belongs to one route",
        };
        found.error(&places[index], conflict.to_string(), help);
    }
    None
}

fn costed<'a>(routes: impl Iterator<Item = &'a Route>) -> Vec<MeterId> {
    let mut meters: Vec<MeterId> = routes.flat_map(Route::meters).collect();
    meters.sort_unstable();
    meters.dedup();
    meters
}

/// A server that takes one method for another answers what the route does not price, unless it prices all.
fn check_override(route: &written::Route, found: &mut Findings) {
    let kept = &route.terms.extras.keep_method_override;
    if kept.value && !route.methods.is_left_out() {
        let what = "another method than these could be asked for in such a header";
        found.error(&kept.place, what, "leave `methods` out, so that all have one price, or leave this out");
    }
}

/// Which requests belong to a route.
fn shape(
    route: &written::Route,
    own: &written::Paths,
    found: &mut Findings,
) -> Option<(Place, Arc<str>, Methods)> {
    let methods = match &route.methods {
        Given::LeftOut | Given::Wrong => Methods::All,
        Given::Value(methods) => {
            Methods::These(methods.value.0.iter().map(|method| method.value.clone()).collect())
        }
    };
    let At { value: path, place } = route.path.at()?;
    check_not_our_own(&path.0, place, own, found);
    Some((place.clone(), path.0.as_str().into(), methods))
}

/// Tollgate answers these itself, so the route would never be asked.
fn check_not_our_own(path: &str, place: &Place, own: &written::Paths, found: &mut Findings) {
    let path = if path == "/" { path } else { path.trim_end_matches('/') };
    let prefix = &own.prefix.value.0;
    let below =
        path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let key = match () {
        () if below => "prefix",
        () if path == own.pricing.value.0 => "pricing",
        () if path == own.webhook.value.0 => "webhook",
        () => return,
    };
    let what = format!("Tollgate answers this path itself (billing.paths.{key})");
    found.error(place, what, format!("choose another path, or set billing.paths.{key}"));
}

/// The terms of one route, being checked.
struct Terms<'a> {
    written: &'a written::Terms,
    references: &'a References,
    shared: &'a Shared,
    /// None of `[routes_default]`.
    pattern: Option<&'a str>,
}

/// Terms as checked.
struct Checked {
    upstream: UpstreamId,
    cost: Cost,
    measures: Arc<[Measured]>,
    requires: FeatureSet,
    charge_on: StatusSet,
    rate: Option<Rate>,
    public: bool,
    extras: Option<Arc<Extras>>,
}

impl Checked {
    fn route(self, id: RouteId, pattern: Arc<str>, methods: Methods) -> Route {
        let Self { upstream, cost, measures, requires, charge_on, rate, public, extras } = self;
        Route { id, pattern, methods, upstream, cost, measures, requires, charge_on, rate, public, extras }
    }
}

impl Terms<'_> {
    fn check(&self, found: &mut Findings) -> Checked {
        let public = self.written.public.value;
        if public {
            self.check_public(found);
        }
        let upstream = self.upstream(found);
        let (cost, measures) = self.cost(found);
        self.check_on_limit(found);
        let written = &self.written.extras;
        Checked {
            upstream,
            cost,
            measures,
            requires: self.requires(found),
            charge_on: self.charge_on(),
            rate: rates::check(&self.written.rate, &self.written.burst, found),
            public,
            extras: extras::Checker { written, shared: self.shared, pattern: self.pattern, public }
                .check(found),
        }
    }

    /// What is charged once is over before a limit could meet it.
    fn check_on_limit(&self, found: &mut Findings) {
        let Some(on_limit) = self.written.extras.on_limit.at() else { return };
        if !self.written.cost.get().is_some_and(costs::is_measured) {
            let what =
                "nothing that this route costs is told by the exchange, so no limit meets one that is open";
            found.error(&on_limit.place, what, "leave it out, or measure a cost");
        }
    }

    /// Without a token there is no customer to charge, to limit or to have a feature.
    fn check_public(&self, found: &mut Findings) {
        let written = self.written;
        let cost =
            written.cost.at().filter(|cost| costs::can_be_charged(&cost.value)).map(|cost| &cost.place);
        let requires = Some(&written.requires).filter(|list| !list.value.is_empty()).map(|list| &list.place);
        let rate = written.rate.at().map(|rate| &rate.place);
        for place in [cost, requires, rate].into_iter().flatten() {
            let what = "a public route has no customer, so this cannot hold";
            found.error(place, what, "leave it out, or leave `public` out");
        }
    }

    fn upstream(&self, found: &mut Findings) -> UpstreamId {
        let upstreams = &self.references.upstreams;
        let position = match &self.written.upstream {
            Given::Value(name) => upstreams.find(&name.value, &name.place, found),
            Given::LeftOut if upstreams.known.len() > 1 => {
                let help = format!("add `upstream`, one of: {}", upstreams.known.join(", "));
                found.error(
                    &self.written.place.child("upstream"),
                    "missing, as there are several upstreams",
                    help,
                );
                None
            }
            Given::LeftOut | Given::Wrong => None,
        };
        UpstreamId(position.and_then(|position| u16::try_from(position).ok()).unwrap_or(0))
    }

    fn cost(&self, found: &mut Findings) -> (Cost, Arc<[Measured]>) {
        let meters = &self.references.meters;
        match &self.written.cost {
            Given::LeftOut if !self.written.public.value => {
                let help =
                    "add `cost = 1` or another number of units; 0 is free, `public = true` needs no token";
                found.error(&self.written.place.child("cost"), "missing", help);
                (Cost::default(), [].into())
            }
            Given::LeftOut | Given::Wrong => (Cost::default(), [].into()),
            Given::Value(At { value: written::Cost::Units(units), place }) => {
                if meters.known.len() > 1 {
                    let help = format!("write a table such as {{ {} = {units} }}", meters.known[0]);
                    found.error(place, "there are several meters, so a number alone says too little", help);
                }
                let cost = [(MeterId(0), *units)].into_iter().filter(|_| !meters.known.is_empty());
                (Cost::new(cost), [].into())
            }
            Given::Value(At { value: written::Cost::ByMeter(ByName(table)), .. }) => {
                costs::by_meter(table, meters, found)
            }
        }
    }

    fn requires(&self, found: &mut Findings) -> FeatureSet {
        let known: Vec<&str> = self.references.features.known.iter().map(String::as_str).collect();
        let mut indices = Vec::new();
        for At { value: name, place } in &self.written.requires.value {
            let index = known.iter().position(|feature| *feature == name.0);
            if index.is_none() {
                let help = format!("{}, or add it to a tier's `features`", suggestion(&name.0, &known));
                found.error(place, format!("no tier offers the feature `{}`", name.0), help);
            }
            indices.extend(index);
        }
        FeatureSet::from_indices(indices)
    }

    fn charge_on(&self) -> StatusSet {
        let Some(written) = self.written.charge_on.get() else { return StatusSet::default() };
        let (mut classes, mut exact, mut grpc) = (Vec::new(), Vec::new(), Vec::new());
        for status in &written.0 {
            match status.value {
                Statuses::Class(class) => classes.push(class),
                Statuses::Exact(status) => exact.push(status),
                Statuses::Grpc(code) => grpc.push(code),
            }
        }
        let set = StatusSet::new(classes, exact);
        if grpc.is_empty() { set } else { set.with_grpc(grpc) }
    }
}
