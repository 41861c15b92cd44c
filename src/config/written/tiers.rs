//! `[tiers.NAME]`.

use serde_json::{Value as Json, json};

use crate::config::containers::ByName;
use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::{Node, Value};
use crate::config::values::money::Money;
use crate::config::values::number::Number;
use crate::config::values::pace::Pace;
use crate::config::values::span::Span;
use crate::config::values::text::{Name, Text};
use crate::config::values::{choose, one_of};
use crate::domain::tier::{Allowance, Limit, Mode};

#[derive(Debug)]
pub(crate) struct Tier {
    pub place: Place,
    pub default: At<bool>,
    pub price: At<Price>,
    pub stripe_prices: At<Vec<At<Text>>>,
    pub included: Given<ByName<Allowance>>,
    pub overage: At<Overage>,
    pub rate: Given<Pace>,
    pub burst: Given<Number<1, 1_000_000>>,
    pub features: At<Vec<At<Name>>>,
    pub limits: Given<ByName<Limit>>,
    pub trial: Given<Span<86_400_000>>,
    pub credits_per_cycle: At<Number<0, 1_000_000_000_000>>,
    pub credits_expire: Given<Span<1_000>>,
    pub degraded_allowance: At<Number<0, 1_000_000_000>>,
    pub member: Given<Member>,
    pub mode: At<Mode>,
}

impl Section for Tier {
    const ABOUT: &'static str = "[tiers.NAME]: a set of limits, and what they cost.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            default: keys.or("default", "The tier of who has no subscription; at most one.", false),
            price: keys.section("price"),
            stripe_prices: keys.or("stripe_prices", "Ids of the prices at Stripe that stand for this tier.", []),
            included: keys.optional("included", "Units per period by meter, or \"unlimited\"; left out: 0."),
            overage: keys.or(
                "overage",
                "Beyond the included units: \"deny\", or { unit_amount = { METER = \"0.02\" }, cap = \"500.00\" }.",
                "deny",
            ),
            rate: keys.optional("rate", "Requests per customer; left out: no limit."),
            burst: keys.optional("burst", "How many may come at once; left out: the rate's number."),
            features: keys.or("features", "What routes can require.", []),
            limits: keys.optional("limits", "Numbers passed to the API, or \"unlimited\"."),
            trial: keys.optional("trial", "A free time at the start, in whole days."),
            credits_per_cycle: keys.or(
                "credits_per_cycle",
                "Prepaid units granted for each paid invoice of this tier.",
                0,
            ),
            credits_expire: keys.optional("credits_expire", "How long those last; left out: for ever."),
            degraded_allowance: keys.or(
                "degraded_allowance",
                "In a fleet: the most units of a meter that a node admits beyond its lease while Redis is away.",
                100,
            ),
            member: keys.optional("member", Member::ABOUT),
            mode: keys.or("mode", super::extras::MODE, "enforce"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Member {
    pub included: Given<ByName<Number<0, 1_000_000_000_000>>>,
    pub rate: Given<Pace>,
    pub burst: Given<Number<1, 1_000_000>>,
}

impl Section for Member {
    const ABOUT: &'static str = "What each member of a customer may use of it (auth.jwt.member_claim).";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            included: keys.optional("included", "Units per period by meter; left out: no limit."),
            rate: keys.optional("rate", "Requests per member; left out: no limit."),
            burst: keys.optional("burst", "How many may come at once; left out: the rate's number."),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Price {
    pub monthly: Given<Money>,
    pub yearly: Given<Money>,
}

impl Section for Price {
    const ABOUT: &'static str = "What a subscription costs, in major units of the currency.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            monthly: keys.optional("monthly", "Per month, such as \"29.00\"."),
            yearly: keys.optional("yearly", "Per year, such as \"290.00\"."),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Overage {
    Deny,
    Priced(PricedOverage),
}

#[derive(Debug)]
pub(crate) struct PricedOverage {
    pub unit_amount: Given<ByName<Money>>,
    pub cap: Given<Money>,
}

impl Section for PricedOverage {
    const ABOUT: &'static str = "What units beyond the included ones cost.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            unit_amount: keys
                .required("unit_amount", "The price of one unit by meter, such as { api_calls = \"0.02\" }."),
            cap: keys.optional("cap", "The most overage of a period; beyond it requests are refused."),
        }
    }
}

impl Read for Mode {
    fn schema() -> Json {
        one_of(&["enforce", "shadow"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("enforce", Self::Enforce), ("shadow", Self::Shadow)])
    }
}

impl Read for Overage {
    fn schema() -> Json {
        json!({ "anyOf": [{ "const": "deny" }, PricedOverage::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "deny" => Some(Self::Deny),
            Value::Table(_) => PricedOverage::read(node, reader).map(Self::Priced),
            _ => reader.unexpected(
                node,
                "\"deny\" or a table",
                "write \"deny\", or a table such as { unit_amount = { api_calls = \"0.02\" } }",
            ),
        }
    }
}
