//! The changes that events make. The shadow makes none: it compares what it would have changed with what is known
//! here. Either way they are said in words, which name customers by number.

use crate::clock;
use crate::customers::Position;
use crate::domain::notice::NoticeKind;
use crate::domain::subscription::{Facts, ItemFacts, Status};
use crate::domain::usage::Now;
use crate::metrics::METRICS;
use crate::store::{CheckoutEnd, CustomerRow, NewNotice, PaymentRow, StoreError};
use crate::stripe::{list_subscriptions, retrieve_subscription};

use super::apply::{Applier, ApplyError, is_name};
use super::read::facts;

/// The changes of one event.
pub(super) struct Changes<'a> {
    pub applier: &'a Applier,
    pub now: Now,
    words: Vec<String>,
}

/// Prepaid units that have been paid for.
pub(super) struct Paid {
    pub units: u64,
    pub expires_at: Option<i64>,
    /// What was paid; it is paid for once.
    pub cause: String,
    pub reason: String,
}

impl<'a> Changes<'a> {
    pub fn new(applier: &'a Applier, now: Now) -> Self {
        Self { applier, now, words: Vec::new() }
    }

    /// What was changed; by the shadow, what is not as it would have made it.
    pub fn into_words(self) -> Vec<String> {
        self.words
    }

    /// Links one of ours that has no link yet.
    pub async fn link(&mut self, customer: &str, stripe_customer: &str) -> Result<(), StoreError> {
        let store = &self.applier.store;
        let new = if self.applier.shadow {
            let known = store.find_customer(customer.to_owned()).await?;
            is_name(customer) && known.is_none_or(|known| known.stripe_customer.is_none())
        } else {
            self.applier.link(customer, stripe_customer, self.now).await?
        };
        if new {
            let number = store.find_customer(customer.to_owned()).await?.map(|known| known.number);
            let who =
                number.map_or_else(|| "a new customer".to_owned(), |number| format!("customer {number}"));
            self.words.push(format!("{who} linked to {stripe_customer}"));
        }
        Ok(())
    }

    /// Reads a subscription again; answers what is known of it then.
    pub async fn subscription(
        &mut self,
        id: &str,
        stripe_customer: Option<&str>,
    ) -> Result<Option<Facts>, ApplyError> {
        let Applier { store, transport, .. } = self.applier;
        let before = store.subscription(id.to_owned()).await?;
        let after = if self.applier.shadow {
            let object = retrieve_subscription(transport, id).await?;
            object.as_ref().and_then(facts).or_else(|| before.clone())
        } else {
            self.applier.reread(id, stripe_customer, self.now).await?;
            store.subscription(id.to_owned()).await?
        };
        self.words.extend(after.as_ref().and_then(|after| difference(before.as_ref(), after)));
        Ok(after)
    }

    /// Reads all subscriptions of a Stripe customer again.
    pub async fn subscriptions_of(&mut self, stripe_customer: &str) -> Result<(), ApplyError> {
        let Applier { store, transport, .. } = self.applier;
        let before = store.subscriptions_of(stripe_customer.to_owned()).await?;
        let after: Vec<Facts> = if self.applier.shadow {
            list_subscriptions(transport, stripe_customer).await?.iter().filter_map(facts).collect()
        } else {
            self.applier.list(stripe_customer, self.now).await?;
            store.subscriptions_of(stripe_customer.to_owned()).await?
        };
        for after in &after {
            let before = before.iter().find(|before| before.id == after.id);
            self.words.extend(difference(before, after));
        }
        Ok(())
    }

    /// Puts into force what is known of the subscriptions of a Stripe customer, who may have been linked just now.
    pub async fn put_into_force(&self, stripe_customer: &str) -> Result<(), StoreError> {
        let known = self.applier.store.subscriptions_of(stripe_customer.to_owned()).await?;
        if !self.applier.shadow && !known.is_empty() {
            self.applier.look_again(stripe_customer).await?;
        }
        Ok(())
    }

    /// Who pays: the customer that an object names, if there is one of that name, else the one that its Stripe customer
    /// stands for; of several the first that was seen.
    pub async fn payer(
        &self,
        named: Option<&str>,
        stripe_customer: Option<&str>,
    ) -> Result<Option<CustomerRow>, StoreError> {
        let store = &self.applier.store;
        if let Some(name) = named.filter(|name| is_name(name))
            && let Some(row) = store.find_customer(name.to_owned()).await?
        {
            return Ok(Some(row));
        }
        let Some(stripe_customer) = stripe_customer else { return Ok(None) };
        let rows = store.customers_of(stripe_customer.to_owned()).await?;
        Ok(rows.into_iter().min_by_key(|row| row.number))
    }

    /// Who bought something: the customer whom our checkout has named on it.
    pub async fn buyer(&self, named: &str) -> Result<Option<CustomerRow>, StoreError> {
        let store = &self.applier.store;
        match is_name(named) {
            true if self.applier.shadow => store.find_customer(named.to_owned()).await,
            true => store.customer(named.to_owned(), None, self.now.seconds()).await.map(Some),
            false => Ok(None),
        }
    }

    /// Keeps what is known of a payment.
    pub async fn payment(&mut self, row: PaymentRow) -> Result<(), StoreError> {
        let (store, outcome) = (&self.applier.store, if row.succeeded { "succeeded" } else { "failed" });
        let words = format!("payment {} {outcome}", row.id);
        let news = if self.applier.shadow {
            store.is_payment_news(row).await?
        } else {
            let news = store.note_payment(row).await?;
            METRICS.payments.with_label_values(&[outcome]).inc_by(u64::from(news));
            if news {
                tracing::info!("payment_{outcome}");
            }
            news
        };
        self.words.extend(news.then_some(words));
        Ok(())
    }

    /// Grants what was paid for.
    pub async fn grant(&mut self, customer: &CustomerRow, paid: Paid) -> Result<(), StoreError> {
        let Paid { units, expires_at, cause, reason } = paid;
        let words = format!("customer {} granted {units} credits for {cause}", customer.number);
        let new = if self.applier.shadow {
            self.applier.store.credits_of_cause(cause).await?.is_none()
        } else {
            let customers = &self.applier.customers;
            let granted =
                customers.grant_credits(&customer.name, units, expires_at, cause, reason, self.now).await?;
            granted.is_some()
        };
        self.words.extend(new.then_some(words));
        Ok(())
    }

    /// Closes a checkout session.
    pub async fn end_checkout(&mut self, session: &str, end: CheckoutEnd) -> Result<(), StoreError> {
        let store = &self.applier.store;
        let begun = store.begun_checkout(session.to_owned()).await?;
        let is_ours = begun.is_some();
        let new = if self.applier.shadow {
            begun.is_some_and(|begun| begun.state != end.as_str() && begun.state != "completed")
        } else {
            let new = store.end_checkout(session.to_owned(), end).await?;
            METRICS.checkouts.with_label_values(&[end.as_str()]).inc_by(u64::from(new || !is_ours));
            new
        };
        self.words.extend(new.then(|| format!("checkout {session} {}", end.as_str())));
        Ok(())
    }

    /// Tells others; the shadow tells nobody.
    pub async fn tell(
        &mut self,
        kind: NoticeKind,
        customer: &CustomerRow,
        cause: String,
        more: serde_json::Value,
    ) -> Result<(), StoreError> {
        if self.applier.shadow {
            return Ok(());
        }
        let position = self.applier.customers.position(&customer.name, clock::now()).await?;
        let data = data(&customer.name, &position, more);
        let notice = NewNotice { kind, customer: Some(customer.number), cause, data };
        if self.applier.store.notify(notice, self.now.seconds()).await? {
            self.words.push(format!("told {}", kind.as_str()));
        }
        Ok(())
    }

    /// Leaves an audit row.
    pub async fn audit(&self, action: &'static str, detail: String) -> Result<(), StoreError> {
        if self.applier.shadow {
            return Ok(());
        }
        self.applier.store.audit(self.now.seconds(), action, None, detail).await
    }
}

/// Who, on which tier, and what else there is to say.
fn data(customer: &str, position: &Position, more: serde_json::Value) -> serde_json::Value {
    let mut data = serde_json::json!({
        "customer": customer,
        "tier": position.tier.as_ref().map(|tier| &*tier.name),
        "status": position.status(),
    });
    if let (Some(data), serde_json::Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    data
}

/// What has become of a subscription, in words; none when nothing has.
fn difference(before: Option<&Facts>, after: &Facts) -> Option<String> {
    let Some(before) = before else { return Some(format!("{}: {}", after.id, after.status.as_str())) };
    let mut words = Vec::new();
    let mut changed = |what: &str, before: String, after: String| {
        if before != after {
            words.push(format!("{what}{before} -> {after}"));
        }
    };
    let status = |status: Status| status.as_str().to_owned();
    changed("", status(before.status), status(after.status));
    changed("prices ", prices(&before.items), prices(&after.items));
    let ends = |facts: &Facts| match (facts.cancel_at, facts.cancel_at_period_end) {
        (Some(at), _) => format!("at {at}"),
        (None, true) => "with its period".to_owned(),
        (None, false) => "never".to_owned(),
    };
    changed("ends ", ends(before), ends(after));
    let period =
        |facts: &Facts| facts.items.iter().map(|item| item.period_end).min().unwrap_or(0).to_string();
    changed("period until ", period(before), period(after));
    (!words.is_empty()).then(|| format!("{}: {}", after.id, words.join(", ")))
}

fn prices(items: &[ItemFacts]) -> String {
    let mut prices: Vec<&str> = items.iter().map(|item| item.price.as_str()).collect();
    prices.sort_unstable();
    prices.join("+")
}
