//! What the configuration changes where requests and answers pass: CORS and header rules, by route. A route without
//! any has none of this, and pays one look for it.

use http::HeaderMap;

use crate::domain::catalogue::Catalogue;
use crate::domain::route::{Extras, Route, RouteId};

use super::Parts;
use super::context::Context;
use super::cors::RouteCors;
use super::header_rules::Steps;
use super::headers::Headers;

/// One route's.
pub(super) struct Edge {
    cors: Option<RouteCors>,
    request: Steps,
    response: Steps,
    /// Whether headers pass by which a server takes one method for another.
    keeps_methods: bool,
}

/// By route.
pub(super) type Edges = Vec<Option<Box<Edge>>>;

impl Edge {
    pub fn all(catalogue: &Catalogue) -> Edges {
        catalogue
            .routes
            .by_number()
            .iter()
            .map(|route| Self::new(route, route.extras.as_deref()?).map(Box::new))
            .collect()
    }

    /// None where the route changes nothing.
    fn new(route: &Route, extras: &Extras) -> Option<Self> {
        let changes = extras.cors.is_some() || !extras.headers.is_empty() || extras.keep_method_override;
        changes.then(|| Self {
            cors: extras.cors.as_ref().map(|cors| RouteCors::new(cors, route)),
            request: Steps::of(extras.headers.iter().map(|rules| &rules.request)),
            response: Steps::of(extras.headers.iter().map(|rules| &rules.response)),
            keeps_methods: extras.keep_method_override,
        })
    }
}

impl Parts {
    /// Notes which page asks, where that matters; answers whether preflights of the route are answered here.
    pub(super) fn hears_pages(&self, route: RouteId, request: &HeaderMap, context: &mut Context) -> bool {
        let Some(cors) = self.edges[route.index()].as_ref().and_then(|edge| edge.cors.as_ref()) else {
            return false;
        };
        context.granted = cors.granted(request);
        true
    }

    pub(super) fn cors_of(&self, context: &Context) -> Option<&RouteCors> {
        self.edge(context)?.cors.as_ref()
    }

    pub(super) fn keeps_methods(&self, context: &Context) -> bool {
        self.edge(context).is_some_and(|edge| edge.keeps_methods)
    }

    /// Applies the route's rules to what the upstream will hear.
    pub(super) fn change_request(
        &self,
        headers: &mut impl Headers,
        context: &Context,
    ) -> pingora::Result<()> {
        self.edge(context).map_or(Ok(()), |edge| edge.request.apply(headers, self, context))
    }

    /// Applies the route's rules to an answer, whoever gave it, and says whether a page may read it.
    pub(super) fn dress(&self, headers: &mut impl Headers, context: &Context) -> pingora::Result<()> {
        let Some(edge) = self.edge(context) else { return Ok(()) };
        edge.response.apply(headers, self, context)?;
        edge.cors.as_ref().map_or(Ok(()), |cors| cors.show(headers, context.granted.as_ref()))
    }

    fn edge(&self, context: &Context) -> Option<&Edge> {
        self.edges[context.route?.index()].as_deref()
    }
}
