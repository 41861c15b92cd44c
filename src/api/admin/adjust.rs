//! What operators set for one customer: an override, a block; and what is in memory, read anew.
//!
//! `PUT|DELETE /admin/customers/{id}/override`, `POST …/block`, `…/unblock`, `…/cache/clear` and `/admin/cache/clear`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::billing::note_state;
use crate::clock;
use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Allowance, Tier};
use crate::problem::{Code, Problem};
use crate::store::{Act, CustomerListing, CustomerRow, OverrideRow};

use super::AdminState;
use super::customer::{Present, shown};
use crate::api::json::Body;
use crate::api::{Failed, instant};

/// Whose change it is, in the audit trail.
pub(super) const OPERATOR: &str = "operator";
const LONGEST_REASON: usize = 500;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    tier: Option<String>,
    /// By meter.
    included: Option<BTreeMap<String, Units>>,
    until: Option<String>,
    reason: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Units {
    Number(u64),
    Word(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: Option<String>,
}

/// `PUT …/override`: replaces what was set before.
pub(super) async fn set(
    State(state): State<AdminState>,
    Present(customer): Present,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let entry = state.customers.load(&customer.name, None, now).await?;
    let billed = state.customers.billed_tier(&entry);
    let row = checked(wanted, billed.as_deref(), &state.catalogue.now(), now.seconds())?;
    state.store.set_override(customer.number, Some(row), OPERATOR, now.seconds()).await?;
    put_into_force(&state, &customer).await?;
    note(&state, customer).await
}

/// `DELETE …/override`.
pub(super) async fn take_back(
    State(state): State<AdminState>,
    Present(customer): Present,
) -> Result<Json<Value>, Failed> {
    if state.store.adjustments(customer.number).await?.overridden.is_some() {
        state.store.set_override(customer.number, None, OPERATOR, clock::now().seconds()).await?;
    }
    put_into_force(&state, &customer).await?;
    note(&state, customer).await
}

/// `POST …/block`: no request passes from now on.
pub(super) async fn block(
    state: State<AdminState>,
    customer: Present,
    reason: Body<Reason>,
) -> Result<Json<Value>, Failed> {
    set_block(state, customer, reason, true).await
}

/// `POST …/unblock`.
pub(super) async fn unblock(
    state: State<AdminState>,
    customer: Present,
    reason: Body<Reason>,
) -> Result<Json<Value>, Failed> {
    set_block(state, customer, reason, false).await
}

async fn set_block(
    State(state): State<AdminState>,
    Present(customer): Present,
    Body(Reason { reason }): Body<Reason>,
    blocked: bool,
) -> Result<Json<Value>, Failed> {
    let reason = checked_reason(reason.as_deref())?;
    state.store.set_block(customer.number, blocked, reason, OPERATOR, clock::now().seconds()).await?;
    put_into_force(&state, &customer).await?;
    shown(&state, &customer.name).await
}

/// `POST …/cache/clear`: what is known of a customer is read from the store again.
pub(super) async fn clear(
    State(state): State<AdminState>,
    Present(customer): Present,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    state.customers.clear(&customer.name, now).await?;
    let act =
        Act { action: "cache_cleared", customer: Some(customer.number), actor: OPERATOR, ..Act::default() };
    state.store.note(act, now.seconds()).await?;
    shown(&state, &customer.name).await
}

/// `POST /admin/cache/clear`: the same for all.
pub(super) async fn clear_all(State(state): State<AdminState>) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let reread = state.customers.clear_all(now).await?;
    state
        .store
        .note(Act { action: "cache_cleared", actor: OPERATOR, ..Act::default() }, now.seconds())
        .await?;
    Ok(Json(json!({ "reread": reread })))
}

/// The next request is held against it.
async fn put_into_force(state: &AdminState, customer: &CustomerListing) -> Result<(), Failed> {
    Ok(state.customers.refresh_customer(&customer.name, clock::now()).await?)
}

/// The tier may have changed: lists and others are told.
async fn note(state: &AdminState, customer: CustomerListing) -> Result<Json<Value>, Failed> {
    let CustomerListing { number, name, stripe_customer, .. } = customer;
    let row = CustomerRow { number, name: name.clone(), stripe_customer };
    note_state(&state.store, &state.customers, row, false).await?;
    shown(state, &name).await
}

/// What is wanted, if it is something and nothing less than what is billed.
fn checked(
    wanted: Wanted,
    billed: Option<&Tier>,
    catalogue: &Catalogue,
    now: i64,
) -> Result<OverrideRow, Failed> {
    let included = wanted.included.unwrap_or_default();
    if wanted.tier.is_none() && included.is_empty() {
        return Err(refused("name a tier, or included units by meter"));
    }
    let named = wanted.tier.as_deref().map(|name| tier_named(name, catalogue)).transpose()?;
    let lacks = |(named, billed): (&Tier, &Tier)| named.features.first_missing(billed.features);
    if let Some(feature) = named.zip(billed).and_then(lacks) {
        let feature = catalogue.features.get(feature).map_or("a feature", String::as_str);
        return Err(refused(format!("the tier lacks {feature}, which the tier that is billed has")));
    }
    let included = included.into_iter().map(|(meter, units)| Ok((meter, allowance(units)?)));
    let included: BTreeMap<_, _> = included.collect::<Result<_, Failed>>()?;
    if let Some(unknown) = included.keys().find(|name| meter_named(name, catalogue).is_none()) {
        return Err(refused(format!("there is no meter {unknown:?}")));
    }
    if named.or(billed).is_none() {
        return Err(refused("this customer has no tier to which units could be added: name one"));
    }
    for tier in [named, billed].into_iter().flatten() {
        no_less_than(tier, named, &included, catalogue)?;
    }
    let until = wanted.until.as_deref().map(|until| instant_after("until", until, now)).transpose()?;
    let reason = stated_reason(wanted.reason.as_deref())?;
    Ok(OverrideRow { tier: wanted.tier, included, until, reason })
}

/// Of each meter an override includes at least what the tier does.
fn no_less_than(
    tier: &Tier,
    named: Option<&Tier>,
    included: &BTreeMap<String, Allowance>,
    catalogue: &Catalogue,
) -> Result<(), Failed> {
    for meter in catalogue.meter_ids() {
        let name = &catalogue.meter(meter).name;
        let set = included.get(&**name).copied().or(named.map(|named| named.included(meter)));
        if set.is_some_and(|set| set.units() < tier.included(meter).units()) {
            let detail = format!("of {name} it includes less than the tier {} does", tier.name);
            return Err(refused(detail));
        }
    }
    Ok(())
}

fn tier_named<'a>(name: &str, catalogue: &'a Catalogue) -> Result<&'a Tier, Failed> {
    let found = catalogue.tiers.iter().find(|tier| *tier.name == *name);
    found.map(|tier| &**tier).ok_or_else(|| {
        let names: Vec<&str> = catalogue.tiers.iter().map(|tier| &*tier.name).collect();
        refused(format!("there is no tier {name:?}: there are {}", names.join(", ")))
    })
}

fn meter_named(name: &str, catalogue: &Catalogue) -> Option<()> {
    catalogue.meters.iter().any(|meter| *meter.name == *name).then_some(())
}

fn allowance(units: Units) -> Result<Allowance, Failed> {
    match units {
        Units::Number(units) => Ok(Allowance::Units(units)),
        Units::Word(word) if word == "unlimited" => Ok(Allowance::Unlimited),
        Units::Word(word) => {
            Err(refused(format!("included units are a number or \"unlimited\", not {word:?}")))
        }
    }
}

/// An instant to come.
pub(super) fn instant_after(name: &str, text: &str, now: i64) -> Result<i64, Failed> {
    let wrong = || refused(format!("{name} is an instant: 2026-11-20T13:00:00Z or 2026-11-20"));
    let at = instant::parse(text).ok_or_else(wrong)?;
    if at > now { Ok(at) } else { Err(refused(format!("{name} has passed"))) }
}

/// Why an operator does what needs a reason.
pub(super) fn stated_reason(reason: Option<&str>) -> Result<String, Failed> {
    let reason = checked_reason(reason)?;
    if reason.is_empty() { Err(refused("give a reason")) } else { Ok(reason) }
}

fn checked_reason(reason: Option<&str>) -> Result<String, Failed> {
    let reason = reason.unwrap_or_default().trim();
    if reason.chars().count() > LONGEST_REASON {
        return Err(refused(format!("a reason has at most {LONGEST_REASON} characters")));
    }
    Ok(reason.to_owned())
}

pub(super) fn refused(detail: impl Into<String>) -> Failed {
    Failed(Problem::new(Code::Unprocessable, detail.into()))
}
