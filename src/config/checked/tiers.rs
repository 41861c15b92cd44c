//! `[tiers.NAME]`.

use std::collections::HashMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::catalogue::References;
use super::{check_names, rates, seconds};
use crate::config::containers::{ByName, Named};
use crate::config::findings::{At, Findings, Place, join};
use crate::config::read::Given;
use crate::config::written;
use crate::domain::tier::{Allowance, FeatureSet, Limit, MemberTerms, Overage, Price, Tier, TierId};
use crate::domain::units::MeterId;

const MOST_TIERS: usize = 1_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// Stripe's own bound.
const LONGEST_TRIAL_DAYS: u64 = 730;

/// `costed`: the meters that some request costs units of.
pub(super) fn check(
    tiers: &At<ByName<written::Tier>>,
    references: &References,
    costed: &[MeterId],
    found: &mut Findings,
) -> Vec<Arc<Tier>> {
    let list = &tiers.value.0;
    let names = list.iter().map(|tier| (tier.name.as_str(), &tier.place));
    check_names("tier", &tiers.place, names, MOST_TIERS, found);
    check_default(tiers, found);
    check_stripe_prices(list, found);
    let checker = Checker { references, costed };
    (0..).zip(list).map(|(id, tier)| Arc::new(checker.tier(TierId(id), tier, found))).collect()
}

/// The tier of who has no subscription.
pub(super) fn default(tiers: &[Arc<Tier>], written: &ByName<written::Tier>) -> Option<TierId> {
    let position = written.0.iter().position(|tier| tier.value.default.value)?;
    tiers.get(position).map(|tier| tier.id)
}

/// Where a tier first names an amount of money.
pub(super) fn first_amount(tier: &written::Tier) -> Option<&Place> {
    let price = &tier.price.value;
    let overage = match &tier.overage.value {
        written::Overage::Deny => None,
        written::Overage::Priced(_) => Some(&tier.overage.place),
    };
    let price = price.monthly.at().or(price.yearly.at()).map(|amount| &amount.place);
    price.or(overage)
}

fn check_default(tiers: &At<ByName<written::Tier>>, found: &mut Findings) {
    let list = &tiers.value.0;
    let mut defaults = list.iter().filter(|tier| tier.value.default.value);
    let Some(first) = defaults.next() else {
        if !list.is_empty() {
            let what = "no tier is the default: who has no subscription is refused";
            found.warning(&tiers.place, what, "write `default = true` in one of them if that is not meant");
        }
        return;
    };
    for second in defaults {
        let what = format!("the tier `{}` is the default already", first.name);
        found.error(&second.value.default.place, what, "write `default = true` in one tier only");
    }
}

/// A price that two tiers share could not say which one a customer has.
fn check_stripe_prices(tiers: &[Named<written::Tier>], found: &mut Findings) {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for tier in tiers {
        for price in &tier.value.stripe_prices.value {
            if let Some(owner) = owners.insert(&price.value.0, &tier.name) {
                let what = format!("the tier `{owner}` has this price already");
                found.error(&price.place, what, "name each Stripe price once, in one tier");
            }
        }
    }
}

struct Checker<'a> {
    references: &'a References,
    costed: &'a [MeterId],
}

impl Checker<'_> {
    fn tier(&self, id: TierId, named: &Named<written::Tier>, found: &mut Findings) -> Tier {
        let written = &named.value;
        let included = self.included(written, found);
        let features = written.features.value.iter();
        let features = features.filter_map(|feature| {
            self.references.features.known.iter().position(|known| *known == feature.value.0)
        });
        Tier {
            id,
            name: named.name.as_str().into(),
            price: Price {
                monthly: written.price.value.monthly.get().map(|amount| amount.0),
                yearly: written.price.value.yearly.get().map(|amount| amount.0),
            },
            stripe_prices: written.stripe_prices.value.iter().map(|price| price.value.0.clone()).collect(),
            overage: self.overage(written, &included, found),
            included,
            rate: rates::check(&written.rate, &written.burst, found),
            features: FeatureSet::from_indices(features),
            limits: limits(written),
            trial_days: trial_days(written, found),
            credits_per_cycle: credits_per_cycle(written, found),
            credits_expire: written.credits_expire.get().map(|span| seconds(span.0)),
            degraded_allowance: written.degraded_allowance.value.0,
            member: written.member.get().map(|member| self.member(member, found)),
            mode: written.mode.value,
        }
    }

    /// What is not mentioned is not limited.
    fn member(&self, written: &written::Member, found: &mut Findings) -> Arc<MemberTerms> {
        let meters = &self.references.meters;
        let mut included = vec![Allowance::Unlimited; meters.known.len()];
        for named in written.included.get().map_or(&[][..], |table| &table.0) {
            if let Some(meter) = meters.find(&named.name, &named.place, found) {
                included[meter] = Allowance::Units(named.value.0);
            }
        }
        Arc::new(MemberTerms { included, rate: rates::check(&written.rate, &written.burst, found) })
    }

    /// By meter. What is not mentioned is 0, which is probably not meant where requests cost it.
    fn included(&self, written: &written::Tier, found: &mut Findings) -> Vec<Allowance> {
        let meters = &self.references.meters;
        let mut included = vec![None; meters.known.len()];
        for named in written.included.get().map_or(&[][..], |table| &table.0) {
            if let Some(meter) = meters.find(&named.name, &named.place, found) {
                included[meter] = Some(named.value);
            }
        }
        for meter in self.costed {
            let name = &meters.known[meter.index()];
            if included[meter.index()].is_none() {
                let place = match &written.included {
                    Given::LeftOut => written.place.child("included"),
                    Given::Wrong => continue,
                    Given::Value(included) => included.place.clone(),
                };
                let help = format!("write `included = {{ {name} = 0 }}` if that is meant");
                found.warning(
                    &place,
                    format!("nothing is said of the meter `{name}`, so 0 units are included"),
                    help,
                );
            }
        }
        included.into_iter().map(|units| units.unwrap_or(Allowance::Units(0))).collect()
    }

    fn overage(&self, written: &written::Tier, included: &[Allowance], found: &mut Findings) -> Overage {
        let written::Overage::Priced(overage) = &written.overage.value else { return Overage::Deny };
        let meters = &self.references.meters;
        let mut amounts: Vec<Option<Decimal>> = vec![None; meters.known.len()];
        for named in overage.unit_amount.get().map_or(&[][..], |table| &table.0) {
            if let Some(meter) = meters.find(&named.name, &named.place, found) {
                amounts[meter] = Some(named.value.0);
            }
        }
        if let Some(unit_amount) = overage.unit_amount.at() {
            for meter in self.costed.iter().map(|meter| meter.index()) {
                let name = &meters.known[meter];
                let is_there =
                    amounts[meter].is_some() || found.is_wrong(&join(&unit_amount.place.key, name));
                if !is_there && included[meter] != Allowance::Unlimited {
                    let what = format!("overage of the meter `{name}` has no price");
                    let help = format!("add {name} = \"0.02\", or \"0\" if it is free");
                    found.error(&unit_amount.place, what, help);
                }
            }
        }
        Overage::Priced {
            unit_amounts: amounts.into_iter().map(Option::unwrap_or_default).collect(),
            cap: overage.cap.get().map(|amount| amount.0),
        }
    }
}

/// Ordered by name.
fn limits(written: &written::Tier) -> Vec<(String, Limit)> {
    let limits = written.limits.get().map_or(&[][..], |table| &table.0);
    let mut limits: Vec<_> = limits.iter().map(|limit| (limit.name.clone(), limit.value)).collect();
    limits.sort_by(|(a, _), (b, _)| a.cmp(b));
    limits
}

fn credits_per_cycle(written: &written::Tier, found: &mut Findings) -> u64 {
    let (units, price) = (&written.credits_per_cycle, &written.price.value);
    let sold = !price.monthly.is_left_out()
        || !price.yearly.is_left_out()
        || !written.stripe_prices.value.is_empty();
    if units.value.0 > 0 && !sold {
        let what = "nobody pays an invoice of a tier without a price, so these credits are never granted";
        found.warning(&units.place, what, "give the tier a price, or leave them out");
    }
    units.value.0
}

fn trial_days(written: &written::Tier, found: &mut Findings) -> Option<u32> {
    let trial = written.trial.at()?;
    let seconds = trial.value.0.as_secs();
    let days = seconds / SECONDS_PER_DAY;
    if seconds % SECONDS_PER_DAY != 0 || days > LONGEST_TRIAL_DAYS {
        let help = "write a duration such as \"14d\"";
        found.error(&trial.place, "a trial lasts whole days, at most 730", help);
    }
    u32::try_from(days).ok()
}
