//! Applying an event: what it is about is read again, and what follows from that is changed.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use serde_json::json;

use crate::domain::money::Currency;
use crate::domain::notice::NoticeKind;
use crate::domain::period::rfc3339;
use crate::domain::subscription::{Facts, Status, Subscription};
use crate::domain::usage::Now;
use crate::store::{CheckoutEnd, CustomerRow, EventFacts, InboxRow, StoreError};
use crate::stripe::{
    Invoice, Marks, PaymentIntent, PaymentState, retrieve_invoice, retrieve_lookup_key,
    retrieve_payment_intent, retrieve_session,
};

use super::apply::{Applier, ApplyError};
use super::changes::{Changes, Paid};
use super::kinds::{About, about};
use super::{payments, rejections};

/// Prices of one invoice that Stripe is asked about.
const ASKED_PRICES: usize = 3;

/// What has been read again for events that share it.
#[derive(Default)]
pub(super) struct Read {
    subscriptions: HashMap<String, Option<Facts>>,
    /// Whatever else, by its id.
    others: HashSet<String>,
}

impl Applier {
    /// Does what an event asks for, but for what has been done for another one of `read`. Answers what it changed, in
    /// words.
    pub async fn event(
        &self,
        event: &InboxRow,
        read: &mut Read,
        now: Now,
    ) -> Result<Vec<String>, ApplyError> {
        let Some(about) = about(&event.kind) else { return Ok(Vec::new()) };
        if about == About::MeterErrors {
            rejections::apply(&self.store, &self.transport, event, now.seconds()).await?;
            return Ok(Vec::new());
        }
        let mut applying = Applying { changes: Changes::new(self, now), read };
        applying.link(&event.facts).await?;
        applying.apply(about, &event.facts).await?;
        Ok(applying.changes.into_words())
    }

    /// Does for an invoice what could not be done before its customer was known.
    pub async fn adopt(&self, invoice: &str, now: Now) -> Result<(), ApplyError> {
        let mut read = Read::default();
        let mut applying = Applying { changes: Changes::new(self, now), read: &mut read };
        applying.invoice(invoice).await?;
        Ok(self.store.invoice_is_done(invoice.to_owned()).await?)
    }
}

struct Applying<'a> {
    changes: Changes<'a>,
    read: &'a mut Read,
}

impl Applying<'_> {
    async fn link(&mut self, facts: &EventFacts) -> Result<(), StoreError> {
        let named = facts.tollgate_customer.as_ref().or(facts.client_reference_id.as_ref());
        match (named, &facts.stripe_customer) {
            (Some(customer), Some(stripe_customer)) => self.changes.link(customer, stripe_customer).await,
            _ => Ok(()),
        }
    }

    async fn apply(&mut self, about: About, facts: &EventFacts) -> Result<(), ApplyError> {
        let stripe_customer = facts.stripe_customer.as_deref();
        if let Some(subscription) = &facts.subscription {
            self.subscription(subscription, stripe_customer).await?;
        }
        match about {
            About::TrialEnd => self.trial_ends(facts).await,
            About::Upcoming => self.invoice_is_near(facts).await,
            About::Entitlements => match stripe_customer {
                Some(stripe_customer) => self.changes.subscriptions_of(stripe_customer).await,
                None => Ok(()),
            },
            // Every invoice has a payment as well: what is not marked as ours is told by the invoice.
            About::PaymentIntent if facts.tollgate_customer.is_none() => Ok(()),
            _ => match &facts.object {
                Some(object) => self.object(about, object).await,
                None => Ok(()),
            },
        }
    }

    /// What has been read again is news enough for all events about it.
    async fn object(&mut self, about: About, id: &str) -> Result<(), ApplyError> {
        if self.read.others.contains(id) {
            return Ok(());
        }
        match about {
            About::Invoice => self.invoice(id).await?,
            About::Session => self.session(id).await?,
            About::PaymentIntent => self.payment(id, None).await?,
            About::CustomerDeleted => self.customer_deleted(id).await?,
            // These may be followed by the one that deletes the customer.
            About::Customer => return Ok(self.changes.put_into_force(id).await?),
            _ => return Ok(()),
        }
        self.read.others.insert(id.to_owned());
        Ok(())
    }

    async fn subscription(&mut self, id: &str, stripe_customer: Option<&str>) -> Result<(), ApplyError> {
        if !self.read.subscriptions.contains_key(id) {
            let facts = self.changes.subscription(id, stripe_customer).await?;
            self.read.subscriptions.insert(id.to_owned(), facts);
        }
        Ok(())
    }

    /// A subscription as last read.
    async fn facts(&self, id: Option<&str>) -> Result<Option<Facts>, StoreError> {
        let Some(id) = id else { return Ok(None) };
        match self.read.subscriptions.get(id) {
            Some(facts) => Ok(facts.clone()),
            None => self.changes.applier.store.subscription(id.to_owned()).await,
        }
    }

    async fn invoice(&mut self, id: &str) -> Result<(), ApplyError> {
        let applier = self.changes.applier;
        let Some(invoice) = retrieve_invoice(&applier.transport, id).await? else { return Ok(()) };
        let facts = self.facts(invoice.subscription.as_deref()).await?;
        let (named, stripe_customer) = (invoice.tollgate_customer.as_deref(), invoice.customer.as_deref());
        let payer = self.changes.payer(named, stripe_customer).await?;
        let number = payer.as_ref().map(|payer| payer.number);
        if let Some(row) = payments::of_invoice(&invoice, facts.as_ref(), number, self.changes.now.seconds())
        {
            self.changes.payment(row).await?;
        }
        let Some(payer) = payer else { return Ok(()) };
        if let Some(paid) = self.cycle(&invoice, facts.as_ref()).await? {
            self.changes.grant(&payer, paid).await?;
        }
        if invoice.has_failed() {
            let cause = format!("invoice:{}:{}", invoice.id, invoice.attempt_count);
            let more = json!({
                "invoice": invoice.id,
                "amount": money(invoice.amount_due, &invoice.currency),
                "currency": invoice.currency,
                "attempt": invoice.attempt_count,
                "next_attempt_at": invoice.next_payment_attempt.map(rfc3339),
            });
            self.changes.tell(NoticeKind::PaymentFailed, &payer, cause, more).await?;
        }
        Ok(())
    }

    /// The credits of the cycle that an invoice has paid for, if its tier gives any.
    async fn cycle(&self, invoice: &Invoice, facts: Option<&Facts>) -> Result<Option<Paid>, ApplyError> {
        let Applier { catalogue, transport, .. } = self.changes.applier;
        let catalogue = &*catalogue.now();
        if catalogue.tiers.iter().all(|tier| tier.credits_per_cycle == 0) {
            return Ok(None);
        }
        let prices = payments::cycle_prices(invoice, facts);
        let mut tier = prices.iter().find_map(|price| payments::tier_of(price, facts, catalogue));
        if tier.is_none() {
            // The subscription may have moved on to another price since.
            for price in prices.into_iter().take(ASKED_PRICES) {
                let key = retrieve_lookup_key(transport, price).await?;
                tier = tier.or(catalogue.tier_of_price(price, key.as_deref()));
            }
        }
        let tier = tier.map(|tier| catalogue.tier(tier)).filter(|tier| tier.credits_per_cycle > 0);
        let paid_at = invoice.paid_at.unwrap_or(invoice.created);
        Ok(tier.map(|tier| Paid {
            units: tier.credits_per_cycle,
            expires_at: tier.credits_expire.map(|seconds| paid_at.saturating_add(seconds)),
            cause: format!("invoice:{}", invoice.id),
            reason: format!("a cycle of {}", tier.name),
        }))
    }

    async fn session(&mut self, id: &str) -> Result<(), ApplyError> {
        let applier = self.changes.applier;
        let Some(session) = retrieve_session(&applier.transport, id).await? else { return Ok(()) };
        let stripe_customer = session.customer.as_deref();
        let named = session.marks.customer.as_ref().or(session.client_reference_id.as_ref());
        if let (Some(customer), Some(stripe_customer)) = (named, stripe_customer) {
            self.changes.link(customer, stripe_customer).await?;
        }
        if let Some(subscription) = &session.subscription {
            self.subscription(subscription, stripe_customer).await?;
        }
        let end = match session.status.as_str() {
            "complete" => CheckoutEnd::Completed,
            "expired" => CheckoutEnd::Expired,
            _ => return Ok(()),
        };
        if end == CheckoutEnd::Completed && session.is_payment {
            // What was sold counts, not what the file says since.
            let begun = applier.store.begun_checkout(session.id.clone()).await?;
            let sold = begun.and_then(|begun| begun.units);
            let marks = Marks { units: sold.or(session.marks.units), ..session.marks.clone() };
            match &session.payment_intent {
                Some(payment) => self.payment(payment, Some(&marks)).await?,
                None if session.is_paid => self.pack(&marks, &session.id).await?,
                None => {}
            }
        }
        Ok(self.changes.end_checkout(&session.id, end).await?)
    }

    /// A payment that is no invoice's. `sold` is what the session says that it is for.
    async fn payment(&mut self, id: &str, sold: Option<&Marks>) -> Result<(), ApplyError> {
        let applier = self.changes.applier;
        let Some(payment) = retrieve_payment_intent(&applier.transport, id).await? else { return Ok(()) };
        let marks = sold.unwrap_or(&payment.marks);
        let Some(named) = marks.customer.as_deref() else { return Ok(()) };
        let Some(payer) = self.changes.buyer(named).await? else { return Ok(()) };
        if let Some(row) = payments::single(&payment, payer.number, self.changes.now.seconds()) {
            self.changes.payment(row).await?;
        }
        match payment.state {
            PaymentState::Succeeded => self.pack(marks, &payment.id).await,
            PaymentState::Failed => Ok(self.tell_of_failure(&payer, &payment).await?),
            PaymentState::Open => Ok(()),
        }
    }

    async fn tell_of_failure(
        &mut self,
        payer: &CustomerRow,
        payment: &PaymentIntent,
    ) -> Result<(), StoreError> {
        let cause = format!("payment:{}:{}", payment.id, payment.charge.as_deref().unwrap_or_default());
        let more = json!({
            "payment": payment.id,
            "amount": money(payment.amount, &payment.currency),
            "currency": payment.currency,
            "reason": payment.failure,
        });
        self.changes.tell(NoticeKind::PaymentFailed, payer, cause, more).await
    }

    /// The units of a credit pack that has been paid for. Only what our checkout wrote on it can say so.
    async fn pack(&mut self, marks: &Marks, payment: &str) -> Result<(), ApplyError> {
        let (Some(name), Some(named)) = (&marks.pack, &marks.customer) else { return Ok(()) };
        let catalogue = self.changes.applier.catalogue.now();
        let pack = catalogue.credit_packs.iter().find(|pack| *pack.name == **name);
        let Some(units) = marks.units.or(pack.map(|pack| pack.units)).filter(|units| *units > 0) else {
            let detail =
                format!("{payment}: the credit pack {name} is not known here, and nothing says its units");
            tracing::error!(detail, "a credit pack was paid for that cannot be granted");
            return Ok(self.changes.audit("credits_not_granted", detail).await?);
        };
        let Some(buyer) = self.changes.buyer(named).await? else { return Ok(()) };
        let lasts = pack.and_then(|pack| pack.expires_after);
        let paid = Paid {
            units,
            expires_at: lasts.map(|seconds| self.changes.now.seconds().saturating_add(seconds)),
            cause: format!("payment:{payment}"),
            reason: format!("the credit pack {name}"),
        };
        Ok(self.changes.grant(&buyer, paid).await?)
    }

    /// A list of a deleted customer's subscriptions is empty: each is read by itself.
    async fn customer_deleted(&mut self, stripe_customer: &str) -> Result<(), ApplyError> {
        self.changes.subscriptions_of(stripe_customer).await?;
        let known = self.changes.applier.store.subscriptions_of(stripe_customer.to_owned()).await?;
        for facts in known.iter().filter(|facts| facts.status.is_live()) {
            self.subscription(&facts.id, Some(stripe_customer)).await?;
        }
        let detail = format!("{stripe_customer} was deleted at Stripe; the link stays");
        Ok(self.changes.audit("stripe_customer_deleted", detail).await?)
    }

    async fn trial_ends(&mut self, event: &EventFacts) -> Result<(), ApplyError> {
        let facts = self.facts(event.subscription.as_deref()).await?;
        let trialing = facts.filter(|facts| facts.status == Status::Trialing);
        let Some((facts, end)) = trialing.and_then(|facts| facts.trial_end.map(|end| (facts, end))) else {
            return Ok(());
        };
        let (cause, more) = (
            format!("trial:{}:{end}", facts.id),
            json!({ "subscription": facts.id, "trial_end": rfc3339(end) }),
        );
        self.tell_subscriber(NoticeKind::TrialEnding, event, &facts, cause, more).await
    }

    async fn invoice_is_near(&mut self, event: &EventFacts) -> Result<(), ApplyError> {
        let Some(facts) = self.facts(event.subscription.as_deref()).await? else { return Ok(()) };
        let paid_until = Subscription::read(&facts, &self.changes.applier.catalogue.now()).paid_until;
        let ends = facts.cancel_at.or(paid_until.filter(|_| facts.cancel_at_period_end));
        let Some(end) = ends.filter(|_| facts.status.entitles()) else { return Ok(()) };
        let (cause, more) = (
            format!("expiring:{}:{end}", facts.id),
            json!({ "subscription": facts.id, "expires_at": rfc3339(end) }),
        );
        self.tell_subscriber(NoticeKind::SubscriptionExpiring, event, &facts, cause, more).await
    }

    async fn tell_subscriber(
        &mut self,
        kind: NoticeKind,
        event: &EventFacts,
        facts: &Facts,
        cause: String,
        more: serde_json::Value,
    ) -> Result<(), ApplyError> {
        if Subscription::read(facts, &self.changes.applier.catalogue.now()).tier.is_none() {
            return Ok(()); // What is sold elsewhere is nobody's business here.
        }
        let named = event.tollgate_customer.as_deref();
        let payer = self.changes.payer(named, Some(&facts.stripe_customer)).await?;
        if let Some(payer) = payer {
            let cause = format!("{cause}:{}", payer.number);
            self.changes.tell(kind, &payer, cause, more).await?;
        }
        Ok(())
    }
}

/// Minor units as an amount of money.
fn money(minor: i64, currency: &str) -> String {
    let decimals = Currency::parse(currency).map_or(2, Currency::decimals);
    Decimal::new(minor, decimals).to_string()
}
