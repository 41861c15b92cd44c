//! Routes: which requests cost what, and the table that finds the most specific one for a path.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use serde::{Deserialize, Serialize};

use super::catalogue::Numbered;
use super::measure::{Measure, Measured};
use super::path::NormalPath;
use super::rate::Rate;
use super::tier::{FeatureSet, Mode};
use super::units::{Cost, MeterId};

pub use extras::{Authentication, Extras, FreeWhen, Host, OnLimit, Timeouts};

mod extras;
#[cfg(test)]
mod tests;

/// The number of a route: its position in the first configuration that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteId(pub u16);

impl RouteId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The position of an upstream in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub u16);

/// `[[routes]]`, checked.
#[derive(Clone, Debug)]
pub struct Route {
    pub id: RouteId,
    /// As written; the label of metrics and the name in the record.
    pub pattern: Arc<str>,
    pub methods: Methods,
    pub upstream: UpstreamId,
    /// What is reserved: fixed units, and what measured ones hold.
    pub cost: Cost,
    /// By meter, each once; none where every request costs the same.
    pub measures: Arc<[Measured]>,
    pub requires: FeatureSet,
    pub charge_on: StatusSet,
    pub rate: Option<Rate>,
    /// No token, no cost.
    pub public: bool,
    /// `None`: nothing beyond what stands above.
    pub extras: Option<Arc<Extras>>,
}

impl Route {
    /// Of which it can cost units.
    pub fn meters(&self) -> impl Iterator<Item = MeterId> + '_ {
        let unreserved = |meter: &MeterId| self.cost.of(*meter) == 0;
        let measured = self.measures.iter().map(|measured| measured.meter).filter(unreserved);
        self.cost.iter().map(|(meter, _)| meter).chain(measured)
    }

    /// What this route says of requests that a limit refuses; the tier may say so too.
    pub fn mode(&self) -> Mode {
        self.extras.as_ref().map_or(Mode::Enforce, |extras| extras.mode)
    }

    /// What a limit does to an exchange that holds units of these meters: what the route says; else time, messages and
    /// what follows a switch of protocols end where their limit does.
    pub fn on_limit(&self, held: &[MeterId], is_upgrade: bool) -> OnLimit {
        let goes_on = |by: &Measure| matches!(by, Measure::Duration(_) | Measure::Messages(_)) || is_upgrade;
        let mut measures = self.measures.iter().filter(|measured| held.contains(&measured.meter));
        let written = self.extras.as_ref().and_then(|extras| extras.on_limit);
        let cuts = measures.any(|measured| goes_on(&measured.by));
        written.unwrap_or(if cuts { OnLimit::Cut } else { OnLimit::Finish })
    }

    /// Whether a request can cost anything.
    pub fn is_charged(&self) -> bool {
        !self.cost.is_free() || !self.measures.is_empty()
    }
}

/// The methods that a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    All,
    /// HEAD is answered where GET is.
    These(Vec<Method>),
}

impl Methods {
    pub fn allow(&self, method: &Method) -> bool {
        match self {
            Self::All => true,
            Self::These(list) => {
                list.contains(method) || (*method == Method::HEAD && list.contains(&Method::GET))
            }
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::These(a), Self::These(b)) => a.iter().any(|method| b.contains(method)),
        }
    }
}

/// As lists of them are written: `GET,POST`, or `*`.
impl std::fmt::Display for Methods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::These(list) => {
                let names: Vec<&str> = list.iter().map(Method::as_str).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// The statuses on which a request is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet {
    /// Bit n: all of n00 to n99.
    classes: u8,
    exact: Vec<u16>,
    /// Bit n: status n of gRPC.
    grpc: u32,
}

impl StatusSet {
    /// Of gRPC, `OK` alone.
    pub fn new(classes: impl IntoIterator<Item = u8>, exact: Vec<u16>) -> Self {
        Self { classes: classes.into_iter().fold(0, |bits, class| bits | (1 << (class & 7))), exact, grpc: 1 }
    }

    /// These statuses of gRPC instead.
    #[must_use]
    pub fn with_grpc(self, codes: impl IntoIterator<Item = u8>) -> Self {
        Self { grpc: codes.into_iter().fold(0, |bits, code| bits | (1 << (code & 31))), ..self }
    }

    /// Whether a status of gRPC is charged.
    pub fn contains_grpc(&self, code: u8) -> bool {
        self.grpc & (1 << (code & 31)) != 0
    }

    pub fn contains(&self, status: u16) -> bool {
        let class = u8::try_from(status / 100).unwrap_or(7).min(7);
        self.classes & (1 << class) != 0 || self.exact.contains(&status)
    }
}

impl Default for StatusSet {
    /// 2xx and 3xx.
    fn default() -> Self {
        Self::new([2, 3], Vec::new())
    }
}

/// Finds the route of a request: the most specific pattern for the path, then the method.
///
/// A static segment beats a parameter, a parameter beats a catch-all. The path decides first: a method that the
/// most specific pattern does not answer is refused, and never falls through to a cheaper pattern.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Numbered<Route>,
    by_path: matchit::Router<Vec<RouteId>>,
    fallback: Option<RouteId>,
}

/// What the table says of a request.
#[derive(Debug)]
pub enum Found<'a> {
    Route(&'a Route),
    /// The pattern exists, the method does not; the value of the `Allow` header.
    MethodNotAllowed(String),
    /// A careless server would see the path of another route ([`NormalPath::shortened`]).
    Ambiguous,
    Nothing,
}

/// Why a route cannot stand in the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteConflict {
    #[error("the pattern is not valid: {0}")]
    Pattern(String),
    #[error(
        "another route (`{0}`) has the same path and method; leave one out, or give them different methods"
    )]
    Same(Arc<str>),
}

impl RouteTable {
    /// Builds the table; every conflict is reported with the index of its route. `fallback` serves what no
    /// pattern matches.
    pub fn build(
        mut routes: Vec<Route>,
        fallback: Option<Route>,
    ) -> Result<Self, Vec<(usize, RouteConflict)>> {
        let by_path = router(routes.iter())?;
        let id = fallback.as_ref().map(|route| route.id);
        routes.extend(fallback);
        Ok(Self { routes: routes.into(), by_path, fallback: id })
    }

    /// The same table for routes that have other numbers, `fallback` among them.
    pub(super) fn renumbered(routes: Numbered<Route>, fallback: Option<RouteId>) -> Self {
        let patterns = routes.iter().filter(|route| Some(route.id) != fallback);
        // Routes that stood in a table do not contradict each other.
        let by_path = router(patterns).unwrap_or_default();
        Self { routes, by_path, fallback }
    }

    pub fn find(&self, path: &NormalPath<'_>, method: &Method) -> Found<'_> {
        let matched = self.at(path);
        if path.shortened().is_some_and(|shorter| self.at(&shorter) != matched) {
            return Found::Ambiguous;
        }
        let Some(matched) = matched else {
            return self.fallback.map_or(Found::Nothing, |id| Found::Route(self.get(id)));
        };
        let candidates = || matched.iter().map(|id| self.get(*id));
        match candidates().find(|route| route.methods.allow(method)) {
            Some(route) => Found::Route(route),
            None => Found::MethodNotAllowed(allowed_methods(candidates())),
        }
    }

    /// The routes of the most specific pattern.
    fn at(&self, path: &NormalPath<'_>) -> Option<&Vec<RouteId>> {
        self.by_path.at(path.matched()).ok().map(|matched| matched.value)
    }

    pub fn get(&self, id: RouteId) -> &Route {
        &self.routes[id.index()]
    }

    /// In the order of the configuration; the fallback last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Route> + Clone {
        self.routes.iter()
    }

    /// By number, those too that no configuration lists any more: they serve nobody.
    pub fn by_number(&self) -> &[Route] {
        self.routes.by_number()
    }

    /// The route of what no pattern matches.
    pub(super) fn fallback(&self) -> Option<RouteId> {
        self.fallback
    }

    pub(super) fn numbered(&self) -> &Numbered<Route> {
        &self.routes
    }
}

type Conflicts = Vec<(usize, RouteConflict)>;

fn router<'a>(routes: impl Iterator<Item = &'a Route>) -> Result<matchit::Router<Vec<RouteId>>, Conflicts> {
    let (groups, mut conflicts) = group_by_path(routes);
    let mut by_path = matchit::Router::new();
    for (path, group) in groups {
        let ids = group.iter().map(|(_, route)| route.id).collect();
        if let Err(error) = by_path.insert(path, ids) {
            conflicts.push((group[0].0, RouteConflict::Pattern(error.to_string())));
        }
    }
    if conflicts.is_empty() { Ok(by_path) } else { Err(conflicts) }
}

/// Routes of one path, each with its place.
type Group<'a> = (String, Vec<(usize, &'a Route)>);

/// Routes with the same path share one place in the router and differ by method.
fn group_by_path<'a>(routes: impl Iterator<Item = &'a Route>) -> (Vec<Group<'a>>, Conflicts) {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut conflicts = Vec::new();
    for (index, route) in routes.enumerate() {
        let path = unnamed(&route.pattern);
        let place = *places.entry(path.clone()).or_insert_with(|| {
            groups.push((path, Vec::new()));
            groups.len() - 1
        });
        let group = &mut groups[place].1;
        match group.iter().find(|(_, other)| other.methods.overlaps(&route.methods)) {
            Some((_, twin)) => conflicts.push((index, RouteConflict::Same(twin.pattern.clone()))),
            None => group.push((index, route)),
        }
    }
    (groups, conflicts)
}

/// The pattern with its parameters numbered, so that two spellings of one path are one path.
fn unnamed(pattern: &str) -> String {
    let trimmed = match pattern.strip_suffix('/') {
        None | Some("") => pattern,
        Some(trimmed) => trimmed,
    };
    let mut path = String::with_capacity(trimmed.len());
    let mut rest = trimmed;
    let mut count = 0;
    while let Some(open) = rest.find('{') {
        path.push_str(&rest[..=open]);
        rest = &rest[open + 1..];
        let Some(close) = rest.find('}') else { break };
        if rest.starts_with('*') {
            path.push('*');
        }
        path.push('p');
        path.push_str(&count.to_string());
        count += 1;
        rest = &rest[close..];
    }
    path.push_str(rest);
    path
}

fn allowed_methods<'a>(routes: impl Iterator<Item = &'a Route>) -> String {
    let mut allowed: Vec<&str> = Vec::new();
    for route in routes {
        if let Methods::These(methods) = &route.methods {
            allowed.extend(methods.iter().map(Method::as_str));
            if methods.contains(&Method::GET) {
                allowed.push("HEAD");
            }
        }
    }
    allowed.sort_unstable();
    allowed.dedup();
    allowed.join(", ")
}
