//! `[[routes]]` and `[routes_default]`.

use http::Method;

use super::costs::Cost;
use super::extras::Extras;
use crate::config::containers::NonEmpty;
use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Section};
use crate::config::values::number::Number;
use crate::config::values::pace::Pace;
use crate::config::values::path::Pattern;
use crate::config::values::status::Statuses;
use crate::config::values::text::Name;

#[derive(Debug)]
pub(crate) struct Route {
    pub path: Given<Pattern>,
    pub methods: Given<NonEmpty<Method>>,
    pub terms: Terms,
}

/// What holds for the requests of a route.
#[derive(Debug)]
pub(crate) struct Terms {
    pub place: Place,
    pub upstream: Given<String>,
    pub cost: Given<Cost>,
    pub requires: At<Vec<At<Name>>>,
    pub charge_on: Given<NonEmpty<Statuses>>,
    pub rate: Given<Pace>,
    pub burst: Given<Number<1, 1_000_000>>,
    pub public: At<bool>,
    pub extras: Extras,
}

impl Terms {
    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            upstream: keys
                .optional("upstream", "The upstream that answers; may be left out where there is only one."),
            cost: keys.optional(
                "cost",
                "Units of the only meter, or a table of meters and units; 0 is free. Needed unless public.",
            ),
            requires: keys.or("requires", "Features that the customer's tier must have.", []),
            charge_on: keys.optional("charge_on", CHARGE_ON),
            rate: keys.optional("rate", "Requests per customer on this route, on top of the tier's rate."),
            burst: keys.optional("burst", "How many may come at once; left out: the rate's number."),
            public: keys.or("public", "No token and no cost.", false),
            extras: Extras::read_keys(keys),
        }
    }
}

const CHARGE_ON: &str = "Statuses that are charged; left out: [\"2xx\", \"3xx\", \"grpc:0\"].";

impl Section for Route {
    const ABOUT: &'static str = "[[routes]]: requests with one price.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            path: keys.required(
                "path",
                "The path; `{name}` stands for a segment, a last `{*rest}` for all that follows.",
            ),
            methods: keys.optional("methods", "The methods; left out: all. HEAD is answered where GET is."),
            terms: Terms::read_keys(keys),
        }
    }
}

#[derive(Debug)]
pub(crate) struct DefaultRoute {
    pub terms: Terms,
}

impl Section for DefaultRoute {
    const ABOUT: &'static str = "[routes_default]: what holds where no route matches; left out: 404.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self { terms: Terms::read_keys(keys) }
    }
}
