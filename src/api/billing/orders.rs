//! Buying, changing, ending: each request becomes an order, which the shop carries out.
//!
//! An order runs beside the request, to its end even if the client has gone.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::caller::Caller;
use crate::api::json::{Asked, Body};
use crate::api::{Failed, Public, return_url, status};
use crate::billing::{Buyer, Done, Goods, Order, ShopError, Wanted};
use crate::domain::buying::Cycle;
use crate::domain::catalogue::Catalogue;
use crate::domain::tier::Tier;
use crate::problem::{Code, Problem};

/// A customer waits for it.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// As long as Stripe's.
const LONGEST_KEY: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkout {
    tier: Option<String>,
    cycle: Option<String>,
    /// A pack, instead of a tier.
    credits: Option<String>,
    success_url: Option<String>,
    cancel_url: Option<String>,
}

pub(super) async fn checkout(
    State(public): State<Public>,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<Checkout>,
) -> Result<Json<Value>, Failed> {
    let goods = match (asked.tier, asked.credits) {
        (Some(tier), None) => Goods::Tier(wanted(&public.catalogue.now(), &tier, asked.cycle.as_deref())?),
        (None, Some(pack)) => Goods::Credits(pack),
        _ => return Err(unprocessable("name a tier or a pack of credits, one of them").into()),
    };
    let origins = &public.billing.return_origins;
    let success_url = asked.success_url.ok_or_else(|| unprocessable("success_url is missing"))?;
    let order = Order::Checkout {
        goods,
        success_url: return_url::checked("success_url", &success_url, origins)?,
        cancel_url: asked
            .cancel_url
            .map(|url| return_url::checked("cancel_url", &url, origins))
            .transpose()?,
    };
    carry_out(public, caller, &headers, order).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscribe {
    tier: String,
    cycle: Option<String>,
    /// `pm_…`, made by the customer's browser at Stripe.
    payment_method: String,
}

pub(super) async fn subscribe(
    State(public): State<Public>,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<Subscribe>,
) -> Result<Json<Value>, Failed> {
    let wanted = wanted(&public.catalogue.now(), &asked.tier, asked.cycle.as_deref())?;
    let order = Order::Subscribe { wanted, payment_method: asked.payment_method };
    carry_out(public, caller, &headers, order).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upgrade {
    tier: String,
    cycle: Option<String>,
}

/// Up as well as down.
pub(super) async fn upgrade(
    State(public): State<Public>,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<Upgrade>,
) -> Result<Json<Value>, Failed> {
    let tier = sold(&public.catalogue.now(), &asked.tier)?;
    let cycle = asked.cycle.as_deref().map(cycle).transpose()?;
    carry_out(public, caller, &headers, Order::Change { tier, cycle }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    at_period_end: Option<bool>,
}

pub(super) async fn cancel(
    State(public): State<Public>,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<Cancel>,
) -> Result<Json<Value>, Failed> {
    let order = Order::Cancel { at_period_end: asked.at_period_end.unwrap_or(true) };
    carry_out(public, caller, &headers, order).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

pub(super) async fn resume(
    State(public): State<Public>,
    caller: Caller,
    headers: HeaderMap,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<Value>, Failed> {
    carry_out(public, caller, &headers, Order::Resume).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Portal {
    return_url: Option<String>,
}

pub(super) async fn portal(
    State(public): State<Public>,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<Portal>,
) -> Result<Json<Value>, Failed> {
    let order = portal_order(&public, asked)?;
    carry_out(public, caller, &headers, order).await
}

/// A page for each call: no key goes with a link.
pub(super) async fn portal_by_link(
    State(public): State<Public>,
    caller: Caller,
    Asked(asked): Asked<Portal>,
) -> Result<Json<Value>, Failed> {
    let order = portal_order(&public, asked)?;
    carry_out(public, caller, &HeaderMap::new(), order).await
}

fn portal_order(public: &Public, asked: Portal) -> Result<Order, Problem> {
    let origins = &public.billing.return_origins;
    let return_url = match asked.return_url {
        Some(url) => return_url::checked("return_url", &url, origins)?,
        None => return_url::usual("return_url", origins)?,
    };
    Ok(Order::Portal { return_url })
}

/// Re-reads the caller's subscriptions from Stripe.
pub(super) async fn sync(
    State(public): State<Public>,
    caller: Caller,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<Value>, Failed> {
    let buyer = Buyer { entry: caller.entry, now: caller.now, key: None };
    let (shop, of) = (public.shop.clone(), buyer.clone());
    beside(&public, async move { shop.sync(&of).await.map_err(told) }).await?;
    public.customers.hear(&buyer.entry, buyer.now).await;
    Ok(Json(status::now(&public, &buyer.entry)))
}

fn wanted(catalogue: &Catalogue, tier: &str, asked: Option<&str>) -> Result<Wanted, Problem> {
    Ok(Wanted { tier: sold(catalogue, tier)?, cycle: asked.map_or(Ok(Cycle::Monthly), cycle)? })
}

fn sold(catalogue: &Catalogue, tier: &str) -> Result<Arc<Tier>, Problem> {
    let found = catalogue.tiers.iter().find(|known| *known.name == *tier);
    let sold = found.filter(|tier| {
        let price = &tier.price;
        price.monthly.is_some() || price.yearly.is_some() || !tier.stripe_prices.is_empty()
    });
    sold.cloned()
        .ok_or_else(|| unprocessable("this tier is not for sale; GET the pricing endpoint to see what is"))
}

fn cycle(asked: &str) -> Result<Cycle, Problem> {
    Cycle::parse(asked).ok_or_else(|| unprocessable("cycle is monthly or yearly"))
}

async fn carry_out(
    public: Public,
    caller: Caller,
    headers: &HeaderMap,
    order: Order,
) -> Result<Json<Value>, Failed> {
    let buyer = Buyer { entry: caller.entry, now: caller.now, key: client_key(headers)? };
    let served = public.clone();
    let answer = beside(&public, async move {
        if changes_prices(&order) {
            flush(&served, buyer.entry.number).await;
        }
        served.customers.hear(&buyer.entry, buyer.now).await;
        let show = |done: &Done| shown(&served, &buyer, done);
        served.shop.carry_out(&buyer, &order, &show).await.map_err(told)
    });
    Ok(Json(answer.await?))
}

/// What was used before counts under the tier that it was used on, as far as Stripe can tell them apart.
fn changes_prices(order: &Order) -> bool {
    matches!(order, Order::Change { .. } | Order::Cancel { at_period_end: false })
}

/// What does not reach Stripe in time follows, and counts in the same period.
async fn flush(public: &Public, customer: u32) {
    let reporter = public.reporter.clone();
    let flushing = tokio::spawn(async move { reporter.flush_customer(customer).await });
    if !matches!(tokio::time::timeout(FLUSH_WITHIN, flushing).await, Ok(Ok(Ok(())))) {
        tracing::warn!(customer, "usage follows after a change of tier");
    }
}

fn shown(public: &Public, buyer: &Buyer, done: &Done) -> Value {
    match done {
        Done::Session { id, url } => json!({ "url": url, "session_id": id }),
        Done::Page { url } => json!({ "url": url }),
        Done::Changed => status::now(public, &buyer.entry),
    }
}

/// Does work among that which is not a request's, so that it ends whatever becomes of the request.
pub(super) async fn beside<T: Send + 'static>(
    public: &Public,
    work: impl Future<Output = Result<T, Failed>> + Send + 'static,
) -> Result<T, Failed> {
    public.work.spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an endpoint's work broke off");
        Err(Problem::new(Code::Internal, "something went wrong here; try again").into())
    })
}

fn told(error: ShopError) -> Failed {
    Failed(error.problem())
}

fn client_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(sent) = headers.get("idempotency-key") else { return Ok(None) };
    let text = sent.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let text = text.filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()));
    let detail = "Idempotency-Key is 1 to 255 visible ASCII characters";
    text.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::new(Code::BadRequest, detail))
}

fn unprocessable(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::Unprocessable, detail)
}
