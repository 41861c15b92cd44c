//! `GET /admin/customers/{id}`: what a customer is told, and what only operators see.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::customers::{Entry, MemberUsage, MeterUsage};
use crate::domain::period::rfc3339;
use crate::domain::subscription::Facts;
use crate::domain::tier::Allowance;
use crate::domain::usage::MemberId;
use crate::problem::{Code, Problem};
use crate::store::{CustomerListing, OverrideRow};

use super::AdminState;
use crate::api::{Failed, status};

/// Those who have used most are shown.
const MOST_MEMBERS: usize = 100;

/// The customer that the path names. Nobody is made by being asked for: who is known to another node of the fleet is
/// taken in here.
pub(super) struct Named(pub CustomerListing);

impl FromRequestParts<AdminState> for Named {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Failed> {
        let unknown = || Failed(Problem::new(Code::NotFound, "there is no customer of this name"));
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        if let Some(known) = state.store.find_listing(name.clone()).await? {
            return Ok(Self(known));
        }
        if !state.others.know(&name).await {
            return Err(unknown());
        }
        state.customers.load(&name, None, clock::now()).await?;
        state.store.find_listing(name).await?.map(Self).ok_or_else(unknown)
    }
}

/// The same, for what changes something: nothing can be changed for somebody who has been erased.
pub(super) struct Present(pub CustomerListing);

impl FromRequestParts<AdminState> for Present {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Failed> {
        let Named(customer) = Named::from_request_parts(parts, state).await?;
        if customer.erased_at.is_some() {
            return Err(Failed(Problem::new(Code::Conflict, "this customer has been erased")));
        }
        Ok(Self(customer))
    }
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Named(customer): Named,
) -> Result<Json<Value>, Failed> {
    shown(&state, &customer.name).await
}

/// As it is now; also the answer to a change.
pub(super) async fn shown(state: &AdminState, name: &str) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let gone = || Failed(Problem::new(Code::NotFound, "there is no customer of this name"));
    let customer = state.store.find_listing(name.to_owned()).await?.ok_or_else(gone)?;
    let entry = state.customers.load(name, None, now).await?;
    state.customers.hear(&entry, now).await;
    let (catalogue, snapshot) = (state.catalogue.now(), state.customers.snapshot(&entry, now));
    let mut shown = status::shown(&catalogue, name, &snapshot);
    let drawn = snapshot.usage.iter();
    let drawn = drawn.map(|usage| (catalogue.meter(usage.meter).name.to_string(), drawn_on(usage)));
    let adjustments = state.store.adjustments(customer.number).await?;
    let subscriptions = match &customer.stripe_customer {
        Some(stripe_customer) => state.store.known_subscriptions(stripe_customer.clone()).await?,
        None => Vec::new(),
    };
    let members = members(state, &entry).await?;
    let more = json!({
        "stripe_customer": customer.stripe_customer,
        "linked_by": customer.linked_by,
        "linked_at": customer.linked_at.map(rfc3339),
        "first_seen": rfc3339(customer.first_seen),
        "state_since": customer.state_since.map(rfc3339),
        "trial_at": customer.trial_at.map(rfc3339),
        "erased_at": customer.erased_at.map(rfc3339),
        "drawn": drawn.collect::<Map<_, _>>(),
        "billed_tier": state.customers.billed_tier(&entry).map(|tier| tier.name.to_string()),
        "override": adjustments.overridden.as_ref().map(overridden),
        "blocked": adjustments.blocked.map(|reason| json!({ "reason": reason })),
        "subscriptions": subscriptions.iter().map(subscription).collect::<Vec<_>>(),
        "members": members,
    });
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    Ok(Json(shown))
}

/// What the units of the period were drawn on; `beside` are those drawn on credits and on what an override adds, and
/// those that nothing paid for: none of them is billed.
fn drawn_on(usage: &MeterUsage) -> Value {
    let billed = usage.drawn.saturating_add(usage.overage);
    json!({
        "included": usage.drawn,
        "overage": usage.overage,
        "beside": usage.current.saturating_sub(billed),
    })
}

/// What members have used of the period, where the tier caps that; else null.
async fn members(state: &AdminState, entry: &Entry) -> Result<Option<Vec<Value>>, Failed> {
    let Some(members) = state.customers.members(entry, MOST_MEMBERS, clock::now()) else { return Ok(None) };
    let numbers = members.iter().filter_map(|usage| usage.member).map(MemberId::number).collect();
    let names: HashMap<u32, String> = state.store.member_names(numbers).await?.into_iter().collect();
    let catalogue = state.catalogue.now();
    let shown = |usage: &MemberUsage| {
        let name = usage.member.and_then(|member| names.get(&member.number()));
        let units = usage.units.iter();
        let units = units.map(|(meter, units)| (catalogue.meter(*meter).name.to_string(), json!(units)));
        json!({ "member": name, "usage": units.collect::<Map<_, _>>() })
    };
    Ok(Some(members.iter().map(shown).collect()))
}

fn overridden(row: &OverrideRow) -> Value {
    let units = |allowance: &Allowance| match allowance {
        Allowance::Units(units) => json!(units),
        Allowance::Unlimited => json!("unlimited"),
    };
    let included: Map<_, _> = row.included.iter().map(|(meter, most)| (meter.clone(), units(most))).collect();
    json!({
        "tier": row.tier,
        "included": included,
        "until": row.until.map(rfc3339),
        "reason": row.reason,
    })
}

fn subscription((facts, tier): &(Facts, Option<String>)) -> Value {
    let ends = facts.items.iter().map(|item| item.period_end).filter(|end| *end > 0);
    json!({
        "id": facts.id,
        "status": facts.status.as_str(),
        "tier": tier,
        "prices": facts.items.iter().map(|item| item.price.as_str()).collect::<Vec<_>>(),
        "period_end": ends.min().map(rfc3339),
        "cancel_at": facts.cancel_at.map(rfc3339),
        "cancel_at_period_end": facts.cancel_at_period_end,
        "trial_end": facts.trial_end.map(rfc3339),
        "past_due_since": facts.past_due_since.map(rfc3339),
    })
}
