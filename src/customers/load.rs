//! Loading customers from the store, and refreshing those whose state at Stripe has changed.

use std::sync::Arc;

use smallvec::smallvec;
use smol_str::SmolStr;

use crate::domain::account::{Account, Terms, Window};
use crate::domain::catalogue::Catalogue;
use crate::domain::credits::Lot;
use crate::domain::idempotency::{Charged, Digest, REMEMBERED_SECONDS};
use crate::domain::period::Period;
use crate::domain::subscription::{Entitlement, Facts, Outline, Subscription};
use crate::domain::usage::{MemberId, Now, Unbilled};
use crate::metrics::METRICS;
use crate::store::{Adjustments, KeyRow, Loaded, MemberTotal, StoreError, Total, Wanted};

use super::book::Book;
use super::entry::Entry;
use super::{Customers, fleet};

/// What a customer's subscriptions mean under the catalogue.
pub(super) struct Meaning {
    /// What it was read by.
    pub book: Arc<Book>,
    /// The best of them.
    pub subscription: Option<Outline>,
    pub entitlement: Entitlement,
    /// In force when they were read.
    period: Period,
}

impl Customers {
    /// The customer, read from the store if not in memory. `claimed` is the Stripe customer of a verified token:
    /// it replaces another link.
    pub async fn load(&self, name: &str, claimed: Option<&str>, now: Now) -> Result<Arc<Entry>, StoreError> {
        if let Some(entry) = self.get_linked(name, claimed) {
            return Ok(entry);
        }
        let _one_at_a_time = self.stripe(name).lock().await;
        // Somebody else may have been quicker.
        if let Some(entry) = self.get_linked(name, claimed) {
            return Ok(entry);
        }
        // Whoever is there cannot leave while this one holds them.
        let known = self.get(name);
        let loaded = self.read(name, claimed, known.is_none(), now).await?;
        self.ask_about(&loaded);
        if let Some(entry) = known {
            self.renew(&entry, loaded, now);
            return Ok(entry);
        }
        let book = loaded.understood.book.clone();
        let entry = Arc::new(self.entry(loaded, now));
        self.take_in(entry.clone(), &book, now);
        self.tell_marks(&entry, now);
        Ok(entry)
    }

    /// The customer, if in memory and linked as a token claims.
    fn get_linked(&self, name: &str, claimed: Option<&str>) -> Option<Arc<Entry>> {
        self.get(name).filter(|entry| entry.account().terms().are_linked_as(claimed))
    }

    /// The number under which a customer's member is recorded.
    pub async fn member_number(&self, customer: u32, member: &str) -> Result<u32, StoreError> {
        self.store.number_member(customer, member.to_owned()).await
    }

    /// Puts into force what the store now knows of a Stripe customer, for all of ours that it stands for.
    pub async fn refresh(&self, stripe_customer: &str, now: Now) -> Result<(), StoreError> {
        for row in self.store.customers_of(stripe_customer.to_owned()).await? {
            let _one_at_a_time = self.stripe(&row.name).lock().await;
            if let Some(entry) = self.get(&row.name) {
                let loaded = self.read(&row.name, None, false, now).await?;
                self.renew(&entry, loaded, now);
            }
        }
        Ok(())
    }

    /// The store has found more in a customer's current period than was counted here: an edge was learned late.
    pub async fn raise(&self, number: u32, now: Now) -> Result<(), StoreError> {
        let Some(name) = self.store.customer_name(number).await? else { return Ok(()) };
        let _one_at_a_time = self.stripe(&name).lock().await;
        if let Some(entry) = self.get(&name) {
            let period = entry.account().window(now).period;
            let totals = self.store.totals(number, period.start).await?;
            let book = self.book();
            let members = self.store.member_totals(number, period.start, book.most_members()).await?;
            entry.account().raise(&window(&book, period, &totals, &members));
            self.stir(&entry);
        }
        Ok(())
    }

    /// One turn of the store.
    pub(super) async fn read(
        &self,
        name: &str,
        claimed: Option<&str>,
        with_keys: bool,
        now: Now,
    ) -> Result<Loaded<Meaning>, StoreError> {
        let book = self.book();
        let wanted = Wanted {
            name: name.to_owned(),
            claimed: claimed.map(str::to_owned),
            keys_after: now.seconds().saturating_sub(REMEMBERED_SECONDS),
            most_members: book.most_members(),
            most_keys: if with_keys { book.fallback.key_limits.keys as usize } else { 0 },
            with_grants: self.fleet.is_some(),
        };
        let fallback = book.fallback_of(name).clone();
        let understand = move |facts: &[Facts], adjustments: &Adjustments| {
            let catalogue = &*book.catalogue;
            let read = |facts| Subscription::read(facts, catalogue).at(now.seconds());
            let all: Vec<_> = facts.iter().map(read).collect();
            let best = Subscription::best(&all);
            let own = best.map(|best| Entitlement::of(Some(best), catalogue));
            let own = own.unwrap_or_else(|| fallback.entitlement.clone());
            let entitlement = adjusted(own, adjustments, catalogue);
            let period = entitlement.windows.at(now.seconds());
            let subscription = best.map(|best| best.outline(catalogue));
            (Meaning { book: book.clone(), subscription, entitlement, period }, period)
        };
        self.store.load(wanted, now.seconds(), understand).await
    }

    /// As it is loaded, for nobody else yet.
    pub(super) fn entry(&self, loaded: Loaded<Meaning>, now: Now) -> Entry {
        let Loaded { customer, understood, totals, members, keys, lots, grants, version, .. } = loaded;
        let window = window(&understood.book, understood.period, &totals, &members);
        let charged = |row: &KeyRow| Charged { at: Now::from_seconds(row.at), repeats: row.repeats };
        let keys = keys.iter().map(|row| (Digest(row.key), charged(row)));
        let account = Account::new(terms(&customer.name, customer.stripe_customer, understood), window);
        let mut account = account.with_keys(keys).with_credits(lots);
        if let Some(leases) = &self.fleet {
            let granted: Vec<_> = grants.iter().map(|grant| (grant.number, grant.units)).collect();
            let grants_as_lots = grants.iter().map(|grant| Lot {
                grant: grant.number,
                units: grant.units,
                expires_at: grant.expires_at,
            });
            account = account
                .with_share(&granted)
                .with_spent(grants_as_lots)
                .with_notes(fleet::first_notes(leases, &grants, version));
        }
        Entry::new(customer.name.into(), customer.number, account, now)
    }

    /// Stripe customers that were never heard of are asked about in the background.
    fn ask_about(&self, loaded: &Loaded<Meaning>) {
        if let Some(stripe_customer) = loaded.customer.stripe_customer.as_ref().filter(|_| !loaded.is_listed)
        {
            // Nobody listens only while everything is being shut down.
            let _ = self.unknown.send(stripe_customer.clone());
        }
    }

    /// The units of a period and of a grant that the account knows are the account's: the store may not have heard of
    /// all that was spent.
    pub(super) fn renew(&self, entry: &Arc<Entry>, loaded: Loaded<Meaning>, now: Now) {
        let Loaded { customer, understood, totals, members, lots, grants, version, .. } = loaded;
        let stored = window(&understood.book, understood.period, &totals, &members);
        let read_by = understood.book.clone();
        let mut after = terms(&customer.name, customer.stripe_customer, understood);
        let book = self.held_book();
        if !Arc::ptr_eq(&book, &read_by) {
            after = book.renewed(&entry.name, &after);
        }
        let mut account = entry.account();
        let before = account.terms().clone();
        account.entitle(after.clone(), Some(stored), now);
        for lot in lots {
            account.put_credits(lot);
        }
        if let Some(notes) = account.notes_mut() {
            notes.lots = fleet::named(&grants);
            notes.version = version;
        }
        drop((account, book));
        self.stir(entry);
        self.tell_marks(entry, now);
        if let (Some(before), Some(after)) = (&before.entitlement.tier, &after.entitlement.tier)
            && before.id != after.id
        {
            METRICS.tier_changes.with_label_values(&[&*before.name, &*after.name]).inc();
            tracing::info!(
                customer = entry.number,
                from = &*before.name,
                to = &*after.name,
                "subscription_updated"
            );
        }
    }
}

/// All who are unknown to Stripe share theirs, and so do those who are anonymous.
fn terms(name: &str, stripe_customer: Option<String>, meaning: Meaning) -> Arc<Terms> {
    let Meaning { book, subscription, entitlement, .. } = meaning;
    let fallback = book.fallback_of(name);
    if stripe_customer.is_none() && entitlement == fallback.entitlement {
        return fallback.clone();
    }
    let stripe_customer = stripe_customer.map(SmolStr::from);
    Arc::new(Terms { entitlement, key_limits: book.fallback.key_limits, stripe_customer, subscription })
}

/// What the store knows of a period. Everything of this customer that is not folded yet is in memory.
fn window(book: &Book, period: Period, totals: &[Total], members: &[MemberTotal]) -> Window {
    let mut window = Window::new(period, smallvec![0; book.meter_numbers.len()]);
    for total in totals {
        if let Some(meter) = book.meter(total.meter) {
            window.used[meter.index()] = total.used;
            let Total { extra, credits, uncovered, .. } = *total;
            window.add_unbilled(meter, Unbilled { extra, credits, uncovered });
        }
    }
    let of_member =
        |total: &MemberTotal| Some(((MemberId::new(total.member), book.meter(total.meter)?), total.units));
    window.members = members.iter().filter_map(of_member).collect();
    window
}

/// What an operator has set changes what the subscriptions admit. Names that the catalogue does not have are passed
/// over: the file may have changed since.
fn adjusted(entitlement: Entitlement, adjustments: &Adjustments, catalogue: &Catalogue) -> Entitlement {
    let blocked = adjustments.blocked.is_some();
    let Some(row) = &adjustments.overridden else { return entitlement.with_block(blocked) };
    let named = row.tier.as_ref().and_then(|name| catalogue.tiers.iter().find(|tier| *tier.name == **name));
    let included = catalogue.meters.by_number().iter().map(|meter| row.included.get(&*meter.name).copied());
    let included: Vec<_> = included.collect();
    entitlement.with_override(named, &included, row.until).with_block(blocked)
}
