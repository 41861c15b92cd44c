//! What the fleet calls what each node numbers in its own way: meters, routes and grants.

use std::collections::BTreeSet;

use http::Method;

use super::keys;
use crate::domain::route::{Methods, RouteId};
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
        routes: impl IntoIterator<Item = (&'a str, &'a Methods)>,
    ) -> Self {
        let routes: Vec<_> = routes.into_iter().map(|(pattern, methods)| named(pattern, methods)).collect();
        Self {
            meters: codes(&Vec::from_iter(meters), CODES3),
            routes: codes(&routes.iter().map(String::as_str).collect::<Vec<_>>(), CODES5),
        }
    }

    pub(super) fn meter(&self, meter: MeterId) -> Option<u32> {
        self.meters.get(meter.index()).copied()
    }

    pub(super) fn route(&self, route: RouteId) -> Option<u32> {
        self.routes.get(route.index()).copied()
    }
}

/// A pattern with its methods, in whatever order they are written.
fn named(pattern: &str, methods: &Methods) -> String {
    let mut methods: Vec<_> = match methods {
        Methods::All => Vec::new(),
        Methods::These(list) => list.iter().map(Method::as_str).collect(),
    };
    methods.sort_unstable();
    format!("{} {pattern}", methods.join(","))
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
        let (all, get) = (Methods::All, Methods::These(vec![Method::GET]));
        let put = [
            Methods::These(vec![Method::PUT, Method::POST]),
            Methods::These(vec![Method::POST, Method::PUT]),
        ];
        let one = Words::new(["calls", "tokens"], [("/a", &all), ("/b", &put[0]), ("/b", &get)]);
        let other = Words::new(
            ["images", "tokens", "calls"],
            [("/b", &get), ("/c", &all), ("/a", &all), ("/b", &put[1])],
        );
        assert_eq!(one.meter(MeterId(0)), other.meter(MeterId(2)));
        assert_eq!(one.meter(MeterId(1)), other.meter(MeterId(1)));
        assert_eq!(one.route(RouteId(0)), other.route(RouteId(2)));
        assert_eq!(one.route(RouteId(1)), other.route(RouteId(3)), "of one pattern, by its methods");
        assert_eq!(one.route(RouteId(2)), other.route(RouteId(0)));
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
