//! Meters, features, routes, tiers and the currency, linked to each other.

use super::{Names, callers, check_names, credits, routes, seconds, tiers};
use crate::config::containers::{ByName, Named};
use crate::config::findings::{At, Findings};
use crate::config::written;
use crate::domain::catalogue::Catalogue;
use crate::domain::money::Currency;
use crate::domain::tier::FeatureSet;
use crate::domain::units::Meter;

const MOST_METERS: usize = 64;

/// What routes and tiers refer to.
pub(super) struct References {
    pub meters: Names,
    pub upstreams: Names,
    /// Those that some tier has.
    pub features: Names,
}

pub(super) fn check(written: &written::Root, found: &mut Findings) -> Option<Catalogue> {
    let references = references(written, found);
    let routes = routes::check(written, &references, found);
    let tiers = written.tiers.at().map(|tiers| tiers::check(tiers, &references, &routes.costed, found));
    let credit_packs = credits::check(&written.credit_packs.value, found);
    let currency = check_currency(written, found);
    let anonymous_tier = callers::anonymous_tier(written, found);
    let tiers = tiers?;
    Some(Catalogue {
        currency,
        meters: meters(&written.meters.at()?.value).into(),
        default_tier: tiers::default(&tiers, &written.tiers.at()?.value),
        anonymous_tier,
        tiers: tiers.into(),
        features: references.features.known,
        scopes: routes.scopes,
        routes: routes.table?,
        report: written.billing.value.report.value,
        past_due_grace: seconds(written.billing.value.past_due_grace.value.0),
        credit_packs,
        silence_grace: seconds(written.billing.value.silence_grace.value.0),
    })
}

fn references(written: &written::Root, found: &mut Findings) -> References {
    let meters = written.meters.at();
    if let Some(At { value: ByName(list), place }) = meters {
        let names = list.iter().map(|meter| (meter.name.as_str(), &meter.place));
        check_names("meter", place, names, MOST_METERS, found);
    }
    let meters = meters.map_or(&[][..], |meters| &meters.value.0);
    let upstreams = written.upstreams.get().map_or(&[][..], |upstreams| &upstreams.0);
    let tiers = written.tiers.get().map_or(&[][..], |tiers| &tiers.0);
    References {
        meters: Names::new("meter", meters.iter().map(|meter| meter.name.as_str())),
        upstreams: Names::new("upstream", upstreams.iter().map(|upstream| upstream.name.as_str())),
        features: features(tiers, found),
    }
}

/// In the order in which tiers name them first.
fn features(tiers: &[Named<written::Tier>], found: &mut Findings) -> Names {
    let mut features: Vec<&str> = Vec::new();
    for feature in tiers.iter().flat_map(|tier| &tier.value.features.value) {
        if features.contains(&feature.value.0.as_str()) {
            continue;
        }
        if features.len() == FeatureSet::CAPACITY {
            found.error(&feature.place, "there are too many features", "name at most 128 different ones");
            break;
        }
        features.push(&feature.value.0);
    }
    Names::new("feature", features)
}

fn meters(meters: &ByName<written::Meter>) -> Vec<Meter> {
    let meter = |meter: &Named<written::Meter>| {
        let event_name = meter.value.stripe_event_name.get().map_or(&meter.name, |name| &name.0);
        Meter { name: meter.name.as_str().into(), stripe_event_name: event_name.as_str().into() }
    };
    meters.0.iter().map(meter).collect()
}

/// Needed where there is an amount; where there is none it is never shown.
fn check_currency(written: &written::Root, found: &mut Findings) -> Currency {
    let currency = &written.billing.value.currency;
    let tiers = written.tiers.get().map_or(&[][..], |tiers| &tiers.0);
    let pack = |pack: &At<written::CreditPack>| pack.value.price.at().map(|price| price.place.clone());
    let of_tiers = tiers.iter().find_map(|tier| tiers::first_amount(&tier.value)).cloned();
    let priced = of_tiers.or_else(|| written.credit_packs.value.iter().find_map(pack));
    if let (true, Some(amount)) = (currency.is_left_out(), priced) {
        let place = written.billing.place.child("currency");
        let what = format!("missing, but {} is an amount of money", amount.key);
        found.error(&place, what, "add `currency = \"usd\"` or another to [billing]");
    }
    currency.get().copied().or_else(|| Currency::parse("usd")).expect("three letters")
}
