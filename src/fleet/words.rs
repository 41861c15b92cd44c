//! What the fleet calls what each node numbers in its own way: meters, routes and grants.

use std::collections::BTreeSet;

use super::keys;
use crate::domain::route::RouteId;
use crate::domain::units::MeterId;

/// So many codes fit in three digits, and in five.
const CODES3: u32 = 36_u32.pow(3);
const CODES5: u32 = 36_u32.pow(5);

/// The codes of all meters and routes of one configuration, by their numbers in it. They follow from their names, so
/// that nodes whose configurations differ speak of the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    meters: Vec<u32>,
    routes: Vec<u32>,
}

impl Words {
    /// The names of the meters, and the patterns of the routes with their methods, in the order of their numbers.
    pub fn new<'a>(
        meters: impl IntoIterator<Item = &'a str>,
        routes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            meters: codes(&Vec::from_iter(meters), CODES3),
            routes: codes(&Vec::from_iter(routes), CODES5),
        }
    }

    pub(super) fn meter(&self, meter: MeterId) -> Option<u32> {
        self.meters.get(meter.index()).copied()
    }

    pub(super) fn route(&self, route: RouteId) -> Option<u32> {
        self.routes.get(route.index()).copied()
    }
}

/// Two names never have one code here: the later in the alphabet takes the next that is free.
fn codes(names: &[&str], of: u32) -> Vec<u32> {
    let mut order: Vec<_> = (0..names.len()).collect();
    order.sort_by_key(|at| names[*at]);
    let mut codes = vec![0; names.len()];
    let mut taken = BTreeSet::new();
    for at in order {
        let mut code = keys::hash(names[at]) % of;
        while !taken.insert(code) {
            code = (code + 1) % of;
        }
        codes[at] = code;
    }
    codes
}

/// What the fleet calls a grant.
pub fn lot_code(cause: &str) -> u32 {
    keys::hash(cause) % CODES5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_follows_from_the_name_alone() {
        let one = Words::new(["calls", "tokens"], ["/a", "/b"]);
        let other = Words::new(["images", "tokens", "calls"], ["/b", "/c", "/a"]);
        assert_eq!(one.meter(MeterId(0)), other.meter(MeterId(2)));
        assert_eq!(one.meter(MeterId(1)), other.meter(MeterId(1)));
        assert_eq!(one.route(RouteId(0)), other.route(RouteId(2)));
        assert_eq!(one.meter(MeterId(2)), None);
    }

    #[test]
    fn no_two_names_have_one_code() {
        let names: Vec<_> = (0..20_000).map(|n| format!("meter {n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let different: BTreeSet<_> = codes(&names, CODES3).into_iter().collect();
        assert_eq!(different.len(), names.len());
    }
}
