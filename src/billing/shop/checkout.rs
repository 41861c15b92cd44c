//! Buying on Stripe's page: a tier, or a pack of credits.

use crate::clock;
use crate::domain::catalogue::CreditPack;
use crate::metrics::METRICS;
use crate::problem::{Code, Problem};
use crate::store::{CheckoutEnd, CheckoutKind, CheckoutRow, OpenCheckout};
use crate::stripe::{
    CallError, CheckoutStatus, NewCheckout, Sale, create_checkout, expire_checkout, retrieve_checkout,
};

use super::operation::Operation;
use super::{Buyer, Done, Goods, Shop, ShopError, Wanted, refuse_subscribers};

/// Where the customer is sent back to.
#[derive(Clone, Copy)]
pub(super) struct Urls<'a> {
    pub success: &'a str,
    pub cancel: Option<&'a str>,
}

/// A session about to be made.
struct Sold<'a> {
    kind: CheckoutKind,
    what: String,
    units: Option<u64>,
    sale: Sale<'a>,
    metadata: Vec<(&'a str, String)>,
}

impl Shop {
    pub(super) async fn checkout(
        &self,
        buyer: &Buyer,
        goods: &Goods,
        urls: Urls<'_>,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        match goods {
            Goods::Tier(wanted) => self.checkout_tier(buyer, *wanted, urls, operation).await,
            Goods::Credits(name) => self.checkout_credits(buyer, name, urls, operation).await,
        }
    }

    async fn checkout_tier(
        &self,
        buyer: &Buyer,
        wanted: Wanted,
        urls: Urls<'_>,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        refuse_subscribers(buyer)?;
        let prices = self.prices.of(wanted.tier).await?;
        let flat = prices.flat(wanted.cycle).ok_or_else(|| self.not_sold(wanted))?;
        // A webhook may still be under way: Stripe knows who has subscribed.
        self.sync(buyer).await?;
        refuse_subscribers(buyer)?;
        let tier = self.catalogue.tier(wanted.tier);
        let metered: Vec<&str> = prices.metered.iter().map(|price| price.price.as_str()).collect();
        let sold = Sold {
            kind: CheckoutKind::Tier,
            what: format!("{} {}", tier.name, wanted.cycle.as_str()),
            units: None,
            sale: Sale::Subscription {
                flat,
                metered: &metered,
                trial_days: self.trial_days(buyer, wanted).await?,
                mixed: prices.are_mixed(wanted.cycle),
            },
            metadata: Vec::new(),
        };
        self.sell(buyer, sold, urls, operation).await
    }

    async fn checkout_credits(
        &self,
        buyer: &Buyer,
        name: &str,
        urls: Urls<'_>,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        let pack = self.catalogue.credit_packs.iter().find(|pack| *pack.name == *name);
        let pack = pack.ok_or_else(|| no_such_pack(name))?;
        let title = format!("{} credits", pack.units);
        let sold = Sold {
            kind: CheckoutKind::Credits,
            what: pack.name.to_string(),
            units: Some(pack.units),
            sale: Sale::Goods {
                name: &title,
                currency: self.catalogue.currency.code(),
                amount: self.in_minor_units(pack)?,
            },
            metadata: vec![
                ("tollgate_pack", pack.name.to_string()),
                ("tollgate_units", pack.units.to_string()),
            ],
        };
        self.sell(buyer, sold, urls, operation).await
    }

    fn in_minor_units(&self, pack: &CreditPack) -> Result<i64, ShopError> {
        self.catalogue.currency.minor(pack.price).ok_or_else(|| {
            tracing::error!(pack = &*pack.name, price = %pack.price, "a price is no whole number of minor units");
            ShopError::Refused(Problem::new(Code::Internal, "this pack has no price that could be paid"))
        })
    }

    /// A trial is given once.
    pub(super) async fn trial_days(&self, buyer: &Buyer, wanted: Wanted) -> Result<Option<u32>, ShopError> {
        match self.catalogue.tier(wanted.tier).trial_days {
            Some(days) if !self.store.had_trial(buyer.entry.number).await? => Ok(Some(days)),
            _ => Ok(None),
        }
    }

    /// The open session where it sells just this, else a new one.
    async fn sell(
        &self,
        buyer: &Buyer,
        sold: Sold<'_>,
        urls: Urls<'_>,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        let customer = self.stripe_customer(buyer).await?;
        if let Some(open) = self.store.open_checkout(buyer.entry.number, sold.kind).await?
            && let Some(done) = self.take_up(buyer, open, &sold, operation).await?
        {
            return Ok(done);
        }
        let mut metadata = vec![("tollgate_customer", buyer.entry.name.to_string())];
        metadata.extend(sold.metadata);
        let new = NewCheckout {
            customer: &customer,
            reference: &buyer.entry.name,
            sale: sold.sale,
            success_url: urls.success,
            cancel_url: urls.cancel,
            allow_promotion_codes: self.settings.allow_promotion_codes,
            metadata: &metadata,
        };
        let made = create_checkout(&self.transport, &new, &operation.key("session")?).await;
        let session = made.inspect_err(|error| self.forget_prices_after(error))?;
        let Some(url) = session.url else { return Err(no_page()) };
        let row = CheckoutRow {
            session: session.id.clone(),
            customer: buyer.entry.number,
            kind: sold.kind,
            what: sold.what,
            units: sold.units,
            request: operation.request,
            url: url.clone(),
            expires_at: session.expires_at,
        };
        self.store.add_checkout(row, clock::now().seconds()).await?;
        METRICS.checkouts.with_label_values(&["created"]).inc();
        Ok(Done::Session { id: session.id, url })
    }

    /// What is to be done about a session that is open as far as is known here: it is the one that was asked for, or
    /// it is closed. So nobody pays for two tiers.
    async fn take_up(
        &self,
        buyer: &Buyer,
        open: OpenCheckout,
        sold: &Sold<'_>,
        operation: &Operation,
    ) -> Result<Option<Done>, ShopError> {
        let mut at_stripe = retrieve_checkout(&self.transport, &open.session).await?;
        let is_open = at_stripe.as_ref().is_some_and(|session| session.status == CheckoutStatus::Open);
        if is_open && open.request == operation.request {
            return Ok(Some(Done::Session { id: open.session, url: open.url }));
        }
        if is_open {
            let key = operation.key(&format!("expire-{}", open.session))?;
            match expire_checkout(&self.transport, &open.session, &key).await {
                Ok(()) => at_stripe = None,
                // It was paid or expired in this moment.
                Err(CallError::Status(error)) if error.status == 400 => {
                    at_stripe = retrieve_checkout(&self.transport, &open.session).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let paid = at_stripe.is_some_and(|session| session.status == CheckoutStatus::Complete);
        let end = if paid { CheckoutEnd::Completed } else { CheckoutEnd::Expired };
        self.store.end_checkout(open.session, end).await?;
        if paid && sold.kind == CheckoutKind::Tier {
            self.sync(buyer).await?;
            refuse_subscribers(buyer)?;
        }
        Ok(None)
    }

    /// A price that Stripe does not take may have been replaced there.
    pub(super) fn forget_prices_after(&self, error: &CallError) {
        if matches!(error, CallError::Status(status) if matches!(status.status, 400 | 404)) {
            self.prices.forget();
        }
    }
}

fn no_such_pack(name: &str) -> ShopError {
    ShopError::Refused(Problem::new(Code::Unprocessable, format!("there is no credit pack `{name}`")))
}

fn no_page() -> ShopError {
    let detail = "this checkout has been used; send a new Idempotency-Key for another";
    ShopError::Refused(Problem::new(Code::Conflict, detail))
}
