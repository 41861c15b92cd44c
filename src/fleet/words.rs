//! What the fleet calls what each node numbers in its own way: meters, routes and grants.

use crate::domain::route::RouteId;
use crate::domain::units::MeterId;

/// The codes of all meters and routes of one configuration, by their numbers in it. They follow from their names, so
/// that nodes whose configurations differ speak of the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    meters: Vec<u32>,
    routes: Vec<u32>,
}

impl Words {
    /// The names of the meters and the patterns of the routes, in the order of their numbers.
    pub fn new<'a>(
        _meters: impl IntoIterator<Item = &'a str>,
        _routes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::default()
    }

    pub(super) fn meter(&self, meter: MeterId) -> Option<u32> {
        self.meters.get(meter.index()).copied()
    }

    pub(super) fn route(&self, route: RouteId) -> Option<u32> {
        self.routes.get(route.index()).copied()
    }
}

/// What the fleet calls a grant.
pub fn lot_code(_cause: &str) -> u32 {
    0
}
