//! The types of events that mean something here, and what is kept of one.

use crate::metrics::METRICS;
use crate::store::{EventFacts, NewEvent};
use crate::stripe::Event;

/// What an event is news about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A customer, whom it may name.
    Customer,
    CustomerDeleted,
    Subscription,
    TrialEnd,
    Session,
    Invoice,
    /// An invoice that is not drawn up yet.
    Upcoming,
    PaymentIntent,
    Entitlements,
    /// Thin events: Stripe found meter events wrong that it had accepted.
    MeterErrors,
}

/// The types of [`About::MeterErrors`].
pub(super) const METER_ERRORS: [&str; 2] =
    ["v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"];

const APPLIED: [(&str, About); 20] = [
    ("customer.created", About::Customer),
    ("customer.updated", About::Customer),
    ("customer.deleted", About::CustomerDeleted),
    ("customer.subscription.created", About::Subscription),
    ("customer.subscription.updated", About::Subscription),
    ("customer.subscription.deleted", About::Subscription),
    ("customer.subscription.paused", About::Subscription),
    ("customer.subscription.resumed", About::Subscription),
    ("customer.subscription.trial_will_end", About::TrialEnd),
    ("checkout.session.completed", About::Session),
    ("checkout.session.expired", About::Session),
    ("invoice.paid", About::Invoice),
    ("invoice.payment_succeeded", About::Invoice),
    ("invoice.payment_failed", About::Invoice),
    ("invoice.upcoming", About::Upcoming),
    ("payment_intent.succeeded", About::PaymentIntent),
    ("payment_intent.payment_failed", About::PaymentIntent),
    ("entitlements.active_entitlement_summary.updated", About::Entitlements),
    (METER_ERRORS[0], About::MeterErrors),
    (METER_ERRORS[1], About::MeterErrors),
];

pub(super) fn about(kind: &str) -> Option<About> {
    APPLIED.iter().find(|(name, _)| *name == kind).map(|(_, about)| *about)
}

/// Whether its object may say which customer of ours it belongs to. What has ended may not, nor an invoice, which often
/// comes later still: who was erased would be here again.
fn may_name_a_customer(kind: &str) -> bool {
    match about(kind) {
        Some(About::Subscription) => kind != "customer.subscription.deleted",
        Some(About::CustomerDeleted | About::Invoice) | None => false,
        Some(_) => true,
    }
}

/// Those that Stripe lists, and sends to a webhook endpoint: thin events are not among them.
pub fn applied_kinds() -> impl Iterator<Item = &'static str> {
    APPLIED.iter().map(|(kind, _)| *kind).filter(|kind| !kind.starts_with("v1."))
}

/// A counter is there before anything happened.
pub(super) fn preset_metrics() {
    for (kind, _) in APPLIED {
        for outcome in ["stored", "duplicate", "backfilled"] {
            METRICS.webhooks.with_label_values(&[kind, outcome]);
        }
    }
}

/// Whether events of this type change anything here. Others are stored and answered all the same.
pub fn is_applied(kind: &str) -> bool {
    about(kind).is_some()
}

/// What is kept of an event. One of the other mode than the secret key's changes nothing.
pub fn arrival(event: &Event, livemode: bool, now: i64) -> NewEvent {
    NewEvent {
        id: event.id.clone(),
        kind: event.kind.clone(),
        created: event.created.unwrap_or(now),
        means_something: is_applied(&event.kind) && !is_of_other_mode(event, livemode),
        // Whose it is counts for every event: it goes with them.
        facts: EventFacts {
            object: event.object_id.clone(),
            stripe_customer: event.customer.clone(),
            subscription: event.subscription.clone(),
            client_reference_id: event.client_reference_id.clone(),
            tollgate_customer: event.tollgate_customer.clone().filter(|_| may_name_a_customer(&event.kind)),
        },
        ..NewEvent::default()
    }
}

pub fn is_of_other_mode(event: &Event, livemode: bool) -> bool {
    event.livemode.is_some_and(|of_event| of_event != livemode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outlives_a_customer_names_nobody() {
        for kind in ["customer.deleted", "customer.subscription.deleted", "invoice.paid", "invoice.finalized"]
        {
            assert!(!may_name_a_customer(kind), "{kind}");
        }
        for kind in ["customer.updated", "customer.subscription.created", "checkout.session.completed"] {
            assert!(may_name_a_customer(kind), "{kind}");
        }
    }

    #[test]
    fn what_means_something_is_known_by_type_and_mode() {
        let arrives = |kind: &str, livemode| {
            let id = "evt_1".to_owned();
            let customer = Some("cus_1".to_owned());
            let event = Event { id, kind: kind.to_owned(), livemode, customer, ..Event::default() };
            arrival(&event, false, 7)
        };
        assert!(arrives("invoice.paid", Some(false)).means_something);
        assert!(arrives("invoice.paid", None).means_something);
        assert!(!arrives("invoice.paid", Some(true)).means_something);
        assert!(!arrives("invoice.finalized", Some(false)).means_something);
        let of = arrives("invoice.finalized", Some(false)).facts.stripe_customer;
        assert_eq!(of.as_deref(), Some("cus_1"), "whose it is counts for all");
        assert_eq!(arrives("invoice.paid", None).created, 7);
    }
}
