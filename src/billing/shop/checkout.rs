//! Buying on Stripe's page: a tier, or a pack of credits.

use sha2::{Digest, Sha256};

use crate::clock;
use crate::domain::catalogue::CreditPack;
use crate::domain::tier::Tier;
use crate::metrics::METRICS;
use crate::problem::{Code, Problem};
use crate::store::{CheckoutEnd, CheckoutKind, CheckoutRow, Sha256Digest};
use crate::stripe::{
    CallError, CheckoutPage, CheckoutStatus, NewCheckout, Sale, create_checkout, expire_checkout,
    retrieve_checkout,
};

use super::operation::Operation;
use super::{Buyer, Done, Goods, Shop, ShopError, Wanted, not_sold, refuse_subscribers};

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
            Goods::Tier(wanted) => self.checkout_tier(buyer, wanted, urls, operation).await,
            Goods::Credits(name) => self.checkout_credits(buyer, name, urls, operation).await,
        }
    }

    async fn checkout_tier(
        &self,
        buyer: &Buyer,
        wanted: &Wanted,
        urls: Urls<'_>,
        operation: &Operation,
    ) -> Result<Done, ShopError> {
        refuse_subscribers(buyer)?;
        let Wanted { tier, cycle } = wanted;
        let prices = self.prices.of(tier).await?;
        let flat = prices.flat(*cycle).ok_or_else(|| not_sold(tier, *cycle))?;
        // A webhook may still be under way: Stripe knows who has subscribed.
        self.sync(buyer).await?;
        refuse_subscribers(buyer)?;
        let metered: Vec<&str> = prices.metered.iter().map(|price| price.price.as_str()).collect();
        let sold = Sold {
            kind: CheckoutKind::Tier,
            what: format!("{} {}", tier.name, cycle.as_str()),
            units: None,
            sale: Sale::Subscription {
                flat,
                metered: &metered,
                trial_days: self.trial_days(buyer, tier).await?,
                mixed: prices.are_mixed(*cycle),
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
        let catalogue = self.catalogue.now();
        let pack = catalogue.credit_packs.iter().find(|pack| *pack.name == *name);
        let pack = pack.ok_or_else(no_such_pack)?;
        let title = format!("{} credits", pack.units);
        let sold = Sold {
            kind: CheckoutKind::Credits,
            what: pack.name.to_string(),
            units: Some(pack.units),
            sale: Sale::Goods {
                name: &title,
                currency: catalogue.currency.code(),
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
        self.catalogue.now().currency.minor(pack.price).ok_or_else(|| {
            tracing::error!(pack = &*pack.name, price = %pack.price, "a price is no whole number of minor units");
            ShopError::Refused(Problem::new(Code::Internal, "this pack has no price that could be paid"))
        })
    }

    /// A trial is given once.
    pub(super) async fn trial_days(&self, buyer: &Buyer, tier: &Tier) -> Result<Option<u32>, ShopError> {
        match tier.trial_days {
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
        let mut metadata = vec![("tollgate_customer", buyer.entry.name.to_string())];
        metadata.extend(sold.metadata);
        let new = NewCheckout {
            customer: &customer,
            reference: &buyer.entry.name,
            sale: sold.sale,
            success_url: urls.success,
            cancel_url: urls.cancel,
            allow_promotion_codes: self.settings.now().allow_promotion_codes,
            metadata: &metadata,
        };
        let request = digest(&new)?;
        if let Some(done) = self.take_up(buyer, sold.kind, request, operation).await? {
            return Ok(done);
        }
        let made = create_checkout(&self.transport, &new, &operation.key("session")?).await;
        let session = made.inspect_err(|error| self.forget_prices_after(error))?;
        let Some(url) = session.url else { return Err(no_page()) };
        let row = CheckoutRow {
            session: session.id.clone(),
            customer: buyer.entry.number,
            kind: sold.kind,
            what: sold.what,
            units: sold.units,
            request,
            url: url.clone(),
            expires_at: session.expires_at,
        };
        self.store.add_checkout(row, clock::now().seconds()).await?;
        METRICS.checkouts.with_label_values(&["created"]).inc();
        Ok(Done::Session { id: session.id, url })
    }

    /// The session that is open as far as is known here, if it is just the one that is asked for; else it is closed,
    /// so that nobody pays for two.
    async fn take_up(
        &self,
        buyer: &Buyer,
        kind: CheckoutKind,
        request: Sha256Digest,
        operation: &Operation,
    ) -> Result<Option<Done>, ShopError> {
        let Some(open) = self.store.open_checkout(buyer.entry.number, kind).await? else { return Ok(None) };
        let at_stripe = retrieve_checkout(&self.transport, &open.session).await?;
        if is_open(at_stripe.as_ref()) && open.request == request {
            return Ok(Some(Done::Session { id: open.session, url: open.url }));
        }
        self.end(buyer, kind, open.session, at_stripe, operation).await?;
        Ok(None)
    }

    /// Before a tier is bought without a page: what is left open could be paid as well.
    pub(super) async fn close_checkout(&self, buyer: &Buyer, operation: &Operation) -> Result<(), ShopError> {
        let kind = CheckoutKind::Tier;
        let Some(open) = self.store.open_checkout(buyer.entry.number, kind).await? else { return Ok(()) };
        let at_stripe = retrieve_checkout(&self.transport, &open.session).await?;
        self.end(buyer, kind, open.session, at_stripe, operation).await
    }

    /// Closes a session, here as well as there. If it has sold a tier in this moment, nothing else is to be sold.
    async fn end(
        &self,
        buyer: &Buyer,
        kind: CheckoutKind,
        session: String,
        mut at_stripe: Option<CheckoutPage>,
        operation: &Operation,
    ) -> Result<(), ShopError> {
        if is_open(at_stripe.as_ref()) {
            let key = operation.key(&format!("expire-{session}"))?;
            let expired = expire_checkout(&self.transport, &session, &key).await;
            at_stripe = retrieve_checkout(&self.transport, &session).await?;
            if is_open(at_stripe.as_ref()) {
                expired?;
            }
        }
        let paid = at_stripe.is_some_and(|session| session.status == CheckoutStatus::Complete);
        let end = if paid { CheckoutEnd::Completed } else { CheckoutEnd::Expired };
        let new = self.store.end_checkout(session, end).await?;
        METRICS.checkouts.with_label_values(&[end.as_str()]).inc_by(u64::from(new));
        if paid && kind == CheckoutKind::Tier {
            self.sync(buyer).await?;
            refuse_subscribers(buyer)?;
        }
        Ok(())
    }

    /// A price that Stripe does not take may have been replaced there.
    pub(super) fn forget_prices_after(&self, error: &CallError) {
        if matches!(error, CallError::Status(status) if matches!(status.status, 400 | 404)) {
            self.prices.forget();
        }
    }
}

fn is_open(page: Option<&CheckoutPage>) -> bool {
    page.is_some_and(|page| page.status == CheckoutStatus::Open)
}

/// Of all that a session is made from: one with another price, trial or address is another session.
fn digest(new: &NewCheckout<'_>) -> Result<Sha256Digest, ShopError> {
    let parts = serde_json::to_vec(new).map_err(|_| ShopError::Unreadable)?;
    Ok(Sha256::digest(parts).into())
}

fn no_such_pack() -> ShopError {
    let detail = "there is no such credit pack; GET the pricing endpoint to see what is sold";
    ShopError::Refused(Problem::new(Code::Unprocessable, detail))
}

fn no_page() -> ShopError {
    let detail = "this checkout has been used; send a new Idempotency-Key for another";
    ShopError::Refused(Problem::new(Code::Conflict, detail))
}
