//! What customers are entitled by, and how it is replaced while they are served.
//!
//! A catalogue follows another with the same numbers, so that counts stay where they are and units in flight keep what
//! they hold. Every customer in memory gets the new terms at once, as far as they follow from what is known here; whose
//! own terms depend on more is read from the store again. Whoever was being read meanwhile comes in under the new
//! terms.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use crate::domain::account::{MOST_MEMBERS, Terms};
use crate::domain::anonymous::is_anonymous;
use crate::domain::catalogue::Catalogue;
use crate::domain::idempotency::Limits;
use crate::domain::subscription::{Entitlement, Standing, Windows};
use crate::domain::units::MeterId;
use crate::domain::usage::Now;
use crate::store::StoreError;

use super::Customers;

/// What customers are entitled by.
#[derive(Debug)]
pub(super) struct Book {
    pub catalogue: Arc<Catalogue>,
    /// The store's number of each meter.
    pub meter_numbers: Vec<u32>,
    /// Of those unknown to Stripe: one for all.
    pub fallback: Arc<Terms>,
    /// Of all who are anonymous; `None`: nobody is.
    anonymous: Option<Arc<Terms>>,
}

impl Book {
    pub fn new(catalogue: Arc<Catalogue>, meter_numbers: Vec<u32>, key_limits: Limits) -> Self {
        let terms = |entitlement| {
            Arc::new(Terms { entitlement, key_limits, stripe_customer: None, subscription: None })
        };
        let fallback = terms(Entitlement::of(None, &catalogue));
        let anonymous = catalogue.anonymous_tier.map(|tier| {
            terms(Entitlement {
                standing: Standing::Admitted,
                tier: Some(catalogue.tier(tier).clone()),
                windows: Windows::CalendarMonth,
                overridden: None,
            })
        });
        Self { catalogue, meter_numbers, fallback, anonymous }
    }

    /// By the store's number.
    pub fn meter(&self, number: u32) -> Option<MeterId> {
        let at = self.meter_numbers.iter().position(|meter| *meter == number)?;
        u16::try_from(at).ok().map(MeterId)
    }

    /// So many members of a customer are read.
    pub fn most_members(&self) -> usize {
        if self.catalogue.caps_members() { MOST_MEMBERS } else { 0 }
    }

    /// What all have of whom nothing is known but the name.
    pub fn fallback_of(&self, name: &str) -> &Arc<Terms> {
        let anonymous = self.anonymous.as_ref().filter(|_| is_anonymous(name));
        anonymous.unwrap_or(&self.fallback)
    }

    /// The terms that another catalogue made for a customer, as this one makes them, as far as they follow from
    /// themselves.
    pub fn renewed(&self, name: &str, terms: &Arc<Terms>) -> Arc<Terms> {
        let fallback = self.fallback_of(name);
        let status = terms.subscription.map(|outline| outline.status);
        let entitlement = terms.entitlement.under(status, &fallback.entitlement, &self.catalogue);
        if terms.stripe_customer.is_none() && entitlement == fallback.entitlement {
            return fallback.clone();
        }
        Arc::new(Terms { entitlement, ..Terms::clone(terms) })
    }
}

impl Customers {
    pub(super) fn book(&self) -> Arc<Book> {
        self.held_book().clone()
    }

    /// As long as it is held, no other takes its place: for what must not come in under an old one.
    pub(super) fn held_book(&self) -> RwLockReadGuard<'_, Arc<Book>> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a catalogue in force that follows the one before. `meter_numbers`: the store's, by the meters' own numbers.
    pub fn succeed(&self, catalogue: Arc<Catalogue>, meter_numbers: Vec<u32>, now: Now) {
        let key_limits = self.held_book().fallback.key_limits;
        let book = Arc::new(Book::new(catalogue, meter_numbers, key_limits));
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = book.clone();
        self.entries.each(&mut |entry| {
            let mut account = entry.account();
            account.widen(book.meter_numbers.len());
            let terms = book.renewed(&entry.name, account.terms());
            if terms == *account.terms() {
                return;
            }
            account.entitle(terms, None, now);
            drop(account);
            self.stir(entry);
        });
    }

    /// Reads everyone in memory again whose terms follow from more than themselves: from prices, or from what an
    /// operator has set.
    ///
    /// # Errors
    /// When the store cannot be read; who has been read by then has the new terms.
    pub async fn read_again(&self, now: Now) -> Result<(), StoreError> {
        for name in self.entries.names() {
            let own = |terms: &Terms| terms.subscription.is_some() || terms.entitlement.overridden.is_some();
            if !self.get(&name).is_some_and(|entry| own(entry.account().terms())) {
                continue;
            }
            let _one_at_a_time = self.stripe(&name).lock().await;
            let Some(entry) = self.get(&name) else { continue };
            let loaded = self.read(&name, None, false, now).await?;
            self.renew(&entry, loaded, now);
        }
        Ok(())
    }
}
