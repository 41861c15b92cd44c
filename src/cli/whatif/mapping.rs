//! What records name, as one configuration has it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use http::Method;

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::domain::catalogue::Catalogue;
use crate::domain::methods;
use crate::domain::path::NormalPath;
use crate::domain::route::{Found, Route, RouteId};
use crate::domain::tier::Tier;
use crate::domain::units::MeterId;
use crate::problem::Code;

/// A configuration beside the store's numbers.
pub(super) struct Mapping {
    pub catalogue: Arc<Catalogue>,
    meters: HashMap<u32, Option<MeterId>>,
    tiers: HashMap<u32, Option<Arc<Tier>>>,
    routes: HashMap<(u32, u8), Result<RouteId, Code>>,
    /// What could not be taken as it is.
    pub notes: BTreeSet<String>,
}

impl Mapping {
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        let (meters, tiers, routes) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { catalogue, meters, tiers, routes, notes: BTreeSet::new() }
    }

    pub fn meter(&mut self, number: u32, books: &Books) -> Result<Option<MeterId>, Failure> {
        if let Some(known) = self.meters.get(&number) {
            return Ok(*known);
        }
        let name = books.name(number)?;
        let found = name.as_deref().and_then(|name| {
            let mut meters = self.catalogue.meter_ids();
            meters.find(|meter| *self.catalogue.meter(*meter).name == *name)
        });
        if let (None, Some(name)) = (found, &name) {
            self.notes.insert(format!("there is no meter {name:?}: its units count for nothing"));
        }
        self.meters.insert(number, found);
        Ok(found)
    }

    /// None: neither that tier nor a default one.
    pub fn tier(&mut self, number: u32, books: &Books) -> Result<Option<Arc<Tier>>, Failure> {
        if let Some(known) = self.tiers.get(&number) {
            return Ok(known.clone());
        }
        let name = books.name(number)?.unwrap_or_else(|| "none".into());
        let named = self.catalogue.tiers.iter().find(|tier| *tier.name == *name).cloned();
        let default = || self.catalogue.default_tier.map(|id| self.catalogue.tier(id).clone());
        let found = named.clone().or_else(default);
        if named.is_none() {
            let instead = found.as_ref().map_or("nothing: all is refused".into(), |tier| {
                format!("the default tier, {:?}", tier.name)
            });
            self.notes.insert(format!("there is no tier {name:?}: its customers have {instead}"));
        }
        self.tiers.insert(number, found.clone());
        Ok(found)
    }

    /// The route of what was recorded under another one's pattern, or what it is answered instead.
    pub fn route(
        &mut self,
        number: u32,
        method: u8,
        books: &Books,
    ) -> Result<Result<RouteId, Code>, Failure> {
        if let Some(known) = self.routes.get(&(number, method)) {
            return Ok(*known);
        }
        let pattern = books.name(number)?.unwrap_or_else(|| "none".into());
        let found = self.find(&pattern, method);
        self.routes.insert((number, method), found);
        Ok(found)
    }

    fn find(&mut self, pattern: &str, method: u8) -> Result<RouteId, Code> {
        let name = methods::name(method).unwrap_or("-");
        let method = Method::from_bytes(name.as_bytes()).unwrap_or(Method::GET);
        let same = |route: &&Route| *route.pattern == *pattern && route.methods.allow(&method);
        if let Some(route) = self.catalogue.routes.iter().find(same) {
            return Ok(route.id);
        }
        // The path itself is not kept: the pattern stands for all of them, its parameters for themselves.
        let path: String = pattern.chars().filter(|c| !"{}*".contains(*c)).collect();
        let found = NormalPath::parse(&path).map(|path| self.catalogue.routes.find(&path, &method));
        let (found, what) = match found {
            Ok(Found::Route(route)) => (Ok(route.id), format!("taken for {}", route.pattern)),
            Ok(Found::MethodNotAllowed(_)) => (Err(Code::MethodNotAllowed), "refused".into()),
            Ok(Found::Ambiguous | Found::Nothing) | Err(_) => (Err(Code::RouteNotFound), "not found".into()),
        };
        self.notes.insert(format!(
            "there is no route {name} {pattern}: its requests are {what}, by their pattern (paths are not kept)"
        ));
        found
    }

    /// Patterns that cost something and that no record has come under.
    pub fn unused_routes(&self) -> Vec<String> {
        let used: BTreeSet<RouteId> =
            self.routes.values().filter_map(|found| found.as_ref().ok()).copied().collect();
        let routes = self.catalogue.routes.iter();
        let unused = routes.filter(|route| route.is_charged() && !used.contains(&route.id));
        unused.map(|route| route.pattern.to_string()).collect()
    }
}
