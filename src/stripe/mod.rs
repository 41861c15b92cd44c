//! Stripe, and nothing but Stripe: calls out, webhooks in.
//!
//! - Calls go through one [`Transport`]: one pooled client, the pinned API version, two rate limits and the
//!   circuit breaker. [`Transport::calls`] is a `stripe_client_core::StripeClient` for async-stripe's typed
//!   requests, and tries again by itself. [`Transport::once`] is one attempt, for callers that keep what they
//!   send in durable state and decide about the next try there (meter events, the webhook inbox).
//! - Webhook bodies are verified over their raw bytes ([`verify`]) before anything reads them, then read
//!   tolerantly ([`Event::read`]): they have the shape of the endpoint's API version, not of ours.
//! - The secret key and the webhook secrets appear in no log, error or `Debug` output.
//! - Nothing here decides about customers, tiers or units, and nothing here runs on a proxied request's path.

mod answer;
mod backoff;
mod breaker;
mod buying;
mod calls;
mod error;
mod event;
mod events;
mod inspect;
mod invoice;
mod limiter;
mod loose;
mod marks;
mod meter_errors;
mod meter_events;
mod meters;
mod options;
mod payment_intent;
mod prepared;
mod retrieve;
mod secret;
mod session;
mod subscription;
mod subscription_pages;
mod subscriptions;
#[cfg(test)]
mod test_server;
mod transport;
mod webhook;

pub use answer::Answer;
pub use backoff::{Backoff, random};
pub use buying::{
    CheckoutPage, CheckoutStatus, ItemOrder, Listed, ListedInvoice, ListedPaymentMethod, NewCheckout,
    NewSubscription, PriceObject, Sale, attach_payment_method, cancel_subscription, create_checkout,
    create_customer, create_portal, create_subscription, expire_checkout, find_customer, has_payment_method,
    list_invoices, list_payment_methods, list_prices, make_flexible, resume_subscription, retrieve_checkout,
    retrieve_price, update_subscription,
};
pub use calls::Calls;
pub use error::{CallError, StatusError};
pub use event::{Event, EventError};
pub use events::{EVENTS_KEPT_SECONDS, EventPage, ListedEvent, MOST_KINDS, event_page};
pub use inspect::{WebhookEndpoint, list_webhook_endpoints, may_read};
pub use invoice::{Invoice, InvoiceLine, retrieve_invoice, retrieve_lookup_key};
pub use limiter::Lane;
pub use marks::Marks;
pub use meter_errors::{MeterError, is_meter_error, retrieve_meter_errors};
pub use meter_events::{MeterEvent, MeterEventAnswer, send_meter_event};
pub use meters::{Meter, list_meters, summed_units};
pub use options::{TransportError, TransportOptions, api_version};
pub use payment_intent::{PaymentIntent, PaymentState, retrieve_payment_intent};
pub use secret::Secret;
pub use session::{CheckoutSession, retrieve_session};
pub use stripe_client_core::IdempotencyKey;
pub use subscription::{SubscriptionItem, SubscriptionObject};
pub use subscription_pages::{SubscriptionPage, subscription_page};
pub use subscriptions::{list_subscriptions, retrieve_subscription};
pub use transport::Transport;
pub use webhook::{SignatureError, TOLERANCE_SECONDS, sign, signed_at, verify};
