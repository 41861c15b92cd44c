//! The shop: what a customer asks for at `/billing`, carried out at Stripe.
//!
//! # What it promises
//!
//! - One order of a customer at a time. An order that was begun goes on under its `Idempotency-Key`, whatever
//!   happened: it looks at what there is before it makes anything, and sends Stripe the same keys. So there is never
//!   a second subscription or customer, nor half of one.
//! - Who buys is who calls: nothing in an order names a customer.
//! - What a change has made of a subscription is in force when the order is answered.
//! - An answer comes within [`WITHIN`]; what Stripe has not answered by then goes on under the same key.

mod change;
mod checkout;
mod error;
mod operation;
mod portal;
mod stripe_customer;
mod subscribe;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::customers::Entry;
use crate::domain::buying::Cycle;
use crate::domain::catalogue::Catalogue;
use crate::domain::subscription::Outline;
use crate::domain::tier::Tier;
use crate::domain::usage::Now;
use crate::live::Live;
use crate::problem::{Code, Problem};
use crate::store::Store;
use crate::stripe::Transport;

use super::apply::Applier;
use super::prices::PriceBook;

pub use error::ShopError;
use operation::{Opened, Operation};

/// Somebody waits for the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Customers that share a lock.
const LANES: usize = 1_024;

/// How things are sold.
#[derive(Clone, Copy, Debug)]
pub struct ShopSettings {
    /// Stripe's `proration_behavior` of a change.
    pub proration: &'static str,
    pub allow_promotion_codes: bool,
}

/// Who calls.
#[derive(Clone)]
pub struct Buyer {
    pub entry: Arc<Entry>,
    pub now: Now,
    /// Their `Idempotency-Key`.
    pub key: Option<String>,
}

/// A tier, and how often it is paid.
#[derive(Clone, Debug, Serialize)]
pub struct Wanted {
    #[serde(serialize_with = "by_name")]
    pub tier: Arc<Tier>,
    pub cycle: Cycle,
}

/// What is asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Checkout {
        goods: Goods,
        success_url: String,
        cancel_url: Option<String>,
    },
    Subscribe {
        wanted: Wanted,
        payment_method: String,
    },
    /// As often as it is paid now, where no cycle is named.
    Change {
        #[serde(serialize_with = "by_name")]
        tier: Arc<Tier>,
        cycle: Option<Cycle>,
    },
    Cancel {
        at_period_end: bool,
    },
    Resume,
    Portal {
        return_url: String,
    },
}

/// What a checkout sells.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goods {
    Tier(Wanted),
    /// By the pack's name.
    Credits(String),
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A page to pay on.
    Session {
        id: String,
        url: String,
    },
    Page {
        url: String,
    },
    /// The subscription is as it was asked for.
    Changed,
}

pub struct Shop {
    store: Arc<Store>,
    catalogue: Arc<Live<Catalogue>>,
    transport: Arc<Transport>,
    applier: Arc<Applier>,
    prices: PriceBook,
    settings: Live<ShopSettings>,
    lanes: Vec<Mutex<()>>,
}

impl Shop {
    pub(super) fn new(applier: Arc<Applier>, settings: ShopSettings) -> Self {
        let (catalogue, transport) = (applier.catalogue.clone(), applier.transport.clone());
        Self {
            store: applier.store.clone(),
            prices: PriceBook::new(catalogue.clone(), transport.clone()),
            catalogue,
            transport,
            applier,
            settings: Live::new(Arc::new(settings)),
            lanes: (0..LANES).map(|_| Mutex::new(())).collect(),
        }
    }

    /// Sells in this way from now on, at what Stripe says now.
    pub fn set(&self, settings: ShopSettings) {
        self.settings.set(Arc::new(settings));
        self.prices.forget();
    }

    /// Carries out an order, or answers what was answered to it before. `show` makes the answer.
    pub async fn carry_out(
        &self,
        buyer: &Buyer,
        order: &Order,
        show: &(dyn Fn(&Done) -> Value + Send + Sync),
    ) -> Result<Value, ShopError> {
        let work = async {
            let _one_at_a_time = self.lanes[buyer.entry.number as usize % LANES].lock().await;
            let operation = match self.open(buyer, order).await? {
                Opened::Answered(answer) => return Ok(answer),
                Opened::Begun(operation) => operation,
            };
            match self.execute(buyer, order, &operation).await {
                Ok(done) => self.close(&operation, show(&done)).await,
                Err(error) => Err(self.fail(&operation, error).await),
            }
        };
        tokio::time::timeout(WITHIN, work).await.unwrap_or(Err(ShopError::Late))
    }

    async fn execute(&self, buyer: &Buyer, order: &Order, operation: &Operation) -> Result<Done, ShopError> {
        // Who is blocked can stop paying all the same.
        if !matches!(order, Order::Cancel { .. } | Order::Portal { .. }) {
            refuse_blocked(buyer)?;
        }
        match order {
            Order::Checkout { goods, success_url, cancel_url } => {
                let urls = checkout::Urls { success: success_url, cancel: cancel_url.as_deref() };
                self.checkout(buyer, goods, urls, operation).await
            }
            Order::Subscribe { wanted, payment_method } => {
                self.subscribe(buyer, wanted, payment_method, operation).await
            }
            Order::Change { tier, cycle } => self.change(buyer, tier, *cycle, operation).await,
            Order::Cancel { at_period_end } => self.cancel(buyer, *at_period_end, operation).await,
            Order::Resume => self.resume(buyer, operation).await,
            Order::Portal { return_url } => self.portal(buyer, return_url, operation).await,
        }
    }

    /// Reads the caller's subscriptions from Stripe again.
    pub async fn sync(&self, buyer: &Buyer) -> Result<(), ShopError> {
        let Some(stripe_customer) = buyer.entry.stripe_customer() else { return Ok(()) };
        let reading = self.applier.list(&stripe_customer, buyer.now);
        tokio::time::timeout(WITHIN, reading).await.map_err(|_| ShopError::Late)??;
        Ok(())
    }
}

/// A tier costs something here and has a price at Stripe, or it cannot be bought.
fn not_sold(tier: &Tier, cycle: Cycle) -> ShopError {
    let (tier, cycle) = (&*tier.name, cycle.as_str());
    tracing::warn!(tier, cycle, "Stripe has no price for what was asked for");
    let detail = format!("tier `{tier}` cannot be bought {cycle}; GET the pricing endpoint to see what can");
    ShopError::Refused(Problem::new(Code::Unprocessable, detail))
}

fn refuse_blocked(buyer: &Buyer) -> Result<(), ShopError> {
    if buyer.entry.is_blocked() {
        let problem = Problem::new(Code::CustomerBlocked, "this customer is blocked; ask the operator");
        return Err(ShopError::Refused(problem));
    }
    Ok(())
}

/// Whoever has a live subscription changes it instead of buying another.
fn refuse_subscribers(buyer: &Buyer) -> Result<(), ShopError> {
    let outline = buyer.entry.outline();
    if Outline::may_purchase(outline) {
        return Ok(());
    }
    let detail = match Outline::word(outline) {
        "incomplete" => {
            "a payment is still to be confirmed; finish it, or cancel the subscription and buy again"
                .to_owned()
        }
        status => format!("the subscription is {status}; change its tier by upgrade, or cancel it first"),
    };
    Err(ShopError::Refused(Problem::new(Code::AlreadySubscribed, detail)))
}

fn conflict(detail: impl Into<std::borrow::Cow<'static, str>>) -> ShopError {
    ShopError::Refused(Problem::new(Code::Conflict, detail))
}

/// Its number is another one once the file has another order.
fn by_name<S: serde::Serializer>(tier: &Arc<Tier>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&tier.name)
}
