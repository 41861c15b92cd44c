//! Which events change something here, and what is kept of them, whether a webhook has brought them or Stripe's list.

use crate::store::EventFacts;
use crate::stripe::Event;

/// The events that change something here. Others are stored and answered all the same.
pub const APPLIED: [&str; 11] = [
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "checkout.session.completed",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    // Thin events: Stripe found meter events wrong that it had accepted.
    "v1.billing.meter.error_report_triggered",
    "v1.billing.meter.no_meter_found",
];

/// What the state needs of an event; none of one that changes nothing.
pub fn facts(event: &Event) -> Option<EventFacts> {
    APPLIED.contains(&event.kind.as_str()).then(|| EventFacts {
        stripe_customer: event.customer.clone(),
        subscription: event.subscription.clone(),
        client_reference_id: event.client_reference_id.clone(),
        tollgate_customer: event.tollgate_customer.clone(),
    })
}
