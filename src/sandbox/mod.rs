//! A local Stripe, for `tollgate demo`, development and tests.
//!
//! It speaks the part of Stripe's API that a gateway with flat fees and metered overage needs, at version
//! [`API_VERSION`], well enough for the official SDKs. It shares no code with the gateway, so that a
//! mistake in the gateway's arithmetic or calendar cannot hide here; its own are tested against the
//! examples of Stripe's documentation. All state is in memory.
//!
//! # What differs from Stripe, on purpose
//!
//! Of meters:
//!
//! - Everything is consistent at once: a meter event counts in the next summary and preview.
//! - An unknown customer in a meter event is refused at once (`resource_missing`) instead of being
//!   reported later; values are positive integers.
//! - A second meter event for the same customer and meter while one is running gets 429 `lock_timeout`.
//!
//! Of subscriptions and invoices:
//!
//! - Only `proration_behavior=always_invoice` prorates, at once and for flat fees; `create_prorations`, the
//!   default, is taken note of and bills nothing. There is no balance: what is given back is not paid out.
//! - A backdated subscription is anchored at its start; another interval ends all periods at once and gives nothing
//!   back for the old ones.
//! - The usage of a metered item that is deleted is never billed. When a metered price is replaced, all of the period's
//!   usage is billed under the new one; Stripe bills what was used before by itself, under the old one.
//! - There are no taxes, coupons or promotion codes, and no pending updates. A first invoice has no line for
//!   metered items.
//!
//! Of payments:
//!
//! - A customer who has no card at all is given one that works when a payment is due. One who has cards and no
//!   default is refused, as at Stripe.
//! - The cards are Stripe's test cards `visa`, `mastercard`, `amex`, `chargeDeclined` (which nobody can have) and
//!   `chargeCustomerFail` (which never pays). Nobody is asked to authenticate.
//! - Attempts to collect are made 3, 5 and 7 days after one another; Stripe's own are cleverer.
//! - A declined order on the checkout page makes no customer and no subscription.
//! - Payment intents and payment methods make no events but `payment_intent.succeeded`, `.payment_failed` and
//!   `.processing`; charges and setup intents are not there.
//!
//! Unknown parameters are refused, as at Stripe, by customers, subscriptions, checkout and portal sessions, meter
//! events and attachments; elsewhere they are ignored. Of those that are known many have no effect.
//!
//! # Hooks
//!
//! They take JSON or forms and need no key.
//!
//! | hook | what it does |
//! |---|---|
//! | `GET /_sandbox/health` | 200 |
//! | `POST /_sandbox/faults` | the next `times` (1) calls of `operation` fail: `status` (with `html: true` not as JSON) or `drop: true`; `when`: `before` (default) or `after` taking effect; `delay_ms` first. With `percent` (and a `seed`) each call fails with that chance until the faults are forgotten; 100 of `*` is an outage. A `status` may have a `code` (`lock_timeout`, `idempotency_key_in_use`), `should_retry` (the header), and `saved`: whether it is kept under the idempotency key (default: from 500 on, after taking effect). Operations are named as in `route.rs`, such as `meter_events.create`; `meter_events.*` and `*` match several |
//! | `GET`, `DELETE /_sandbox/faults` | lists, forgets them; with how often each with a chance has `struck` |
//! | `GET`, `DELETE /_sandbox/calls` | `{"subscriptions.list": 100, …}`: how often each operation was called, those that the limit refused left out; forgets it |
//! | `GET /_sandbox/meter_totals` | `[{"customer","event_name","units","events","duplicates"}]` over all accepted events, and how many more were rejected for an identifier that was known |
//! | `POST /_sandbox/seed` | `{"customers","tier","prefix"}`: so many subscribed customers called `<prefix>_0` and so on (`seeded`), without an event; `[{"customer","subscription"}]` |
//! | `POST /_sandbox/subscriptions/:id/status` | `{"status"}`: forces it, with the events on the way |
//! | `POST /_sandbox/subscriptions/:id/period` | `{"start","end"}`: moves the items' current period; after its end the anchor rules again |
//! | `POST /_sandbox/subscriptions/:id/payment_failed` | an unpaid invoice, `past_due`, `invoice.payment_failed` |
//! | `POST /_sandbox/subscriptions/:id/upcoming` | `invoice.upcoming`, now |
//! | `POST /_sandbox/subscriptions/:id/trial_will_end` | `customer.subscription.trial_will_end`, now |
//! | `POST /_sandbox/customers/:id/decline` | `{"declines"}` (true): whether every payment of the customer is declined |
//! | `POST /_sandbox/customers/:id/entitlements` | `{"features"}`: the lookup keys of all that the customer is entitled to, with the event |
//! | `POST /_sandbox/invoices/:id/attempt` | the next attempt to collect an open invoice, now |
//! | `POST /_sandbox/events/:id/resend` | sends an event once more: same id, fresh signature. With `livemode` a copy as if from live mode, under an id of its own |
//! | `POST /_sandbox/meter_events/:identifier/reject` | `{"code"}`: an accepted event counts no more; a thin event tells of it |
//! | `POST /_sandbox/checkout/:id/pay` | presses "Pay"; `{"redirect"}`. With `declined` the bank says no (402); with `delayed` it says nothing yet: the session is complete and unpaid; with `session_first` the session's event is made before the payment's |
//! | `POST /_sandbox/payment_intents/:id/settle` | `{"succeeds"}` (true): the bank's word on a payment that was delayed |
//! | `POST /_sandbox/portal` | `{"configured"}`: whether the portal's settings were ever saved |

mod alarms;
mod checkout;
mod checkout_create;
mod checkout_page;
mod checkout_pay;
mod collection;
mod connection;
mod customers;
mod delivery;
mod entitlements;
mod error;
mod events;
mod expand;
mod faults;
mod form;
mod hooks;
mod http;
mod idempotency;
mod ids;
mod invoice_json;
mod invoice_lines;
mod invoices;
mod known;
mod limiter;
mod meter_events;
mod meters;
mod params;
mod payment_intents;
mod payment_methods;
mod payments;
mod period;
mod portal;
mod price_params;
mod prices;
mod pricing;
mod products;
mod route;
mod seed;
mod service;
mod shape;
mod span;
mod state;
mod subscriptions;
mod summaries;
mod table;
#[cfg(test)]
mod tests;
mod thin_events;
mod usage;
mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use connection::{Line, Lines};
use limiter::Limiter;
use service::Service;
use state::State;
use webhooks::Endpoint;

pub use error::ApiError;
pub use seed::{Catalogue, SeedTier, SeededTier, Subscribed};

/// The version whose shapes the API answers with.
pub const API_VERSION: &str = "2026-09-30.endive";

/// How long open requests may go on after `stop`.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Endpoints that get every event.
    pub webhooks: Vec<WebhookEndpoint>,
    pub requests_per_second: Option<u32>,
    pub event_shape: EventShape,
    /// Nothing that happens makes an event.
    pub quiet: bool,
    /// Every invoice also makes `invoice.created` and `invoice.finalized`.
    pub invoice_steps: bool,
    /// How many days before a period's end `invoice.upcoming` is sent; `None`: never.
    pub upcoming_days: Option<u16>,
    pub after_retries: AfterRetries,
}

impl Default for Options {
    /// Any free port on loopback, no webhooks, no limit, today's shapes.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            webhooks: Vec::new(),
            requests_per_second: None,
            event_shape: EventShape::default(),
            quiet: false,
            invoice_steps: false,
            upcoming_days: None,
            after_retries: AfterRetries::default(),
        }
    }
}

/// What becomes of a subscription when the last attempt at its invoice has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterRetries {
    #[default]
    Cancel,
    MarkUnpaid,
    LeavePastDue,
}

#[derive(Clone)]
pub struct WebhookEndpoint {
    pub url: String,
    pub secret: String,
}

impl std::fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookEndpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The shape of the objects inside events; the API itself always answers in today's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventShape {
    #[default]
    Basil,
    /// As endpoints with a version before 2025-03-31 receive them.
    PreBasil,
}

impl EventShape {
    fn api_version(self) -> &'static str {
        match self {
            Self::Basil => API_VERSION,
            Self::PreBasil => "2024-06-20",
        }
    }
}

/// A running sandbox; it ends when this is dropped.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<io::Result<()>>>,
    background: [JoinHandle<()>; 2],
}

impl Sandbox {
    /// Serves on the current runtime.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let salt = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let limiter = Limiter::new(options.requests_per_second);
        let endpoints = options.webhooks.clone();
        let mut state = State::new(format!("http://{addr}"), options, salt);
        for endpoint in endpoints {
            register(&mut state, endpoint);
        }
        let client = delivery::client().map_err(io::Error::other)?;
        let (deliveries, outgoing) = mpsc::unbounded_channel();
        let service = Service::new(state, limiter, deliveries);
        let (stop, stopped) = oneshot::channel::<()>();
        let app = http::router(service.clone()).into_make_service_with_connect_info::<Line>();
        let server = axum::serve(Lines(listener), app).with_graceful_shutdown(async {
            // An error means that the sandbox was dropped, which ends it too.
            let _ = stopped.await;
        });
        Ok(Self {
            addr,
            background: [
                tokio::spawn(delivery::run(outgoing, client)),
                tokio::spawn(let_periods_end(service.clone())),
            ],
            service,
            stop: Some(stop),
            server: Some(tokio::spawn(server.into_future())),
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the port, lets open requests end, forgets what is still to be delivered.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // What has not ended by then is cut off with the runtime.
            let _ = tokio::time::timeout(DRAIN, server).await;
        }
    }

    /// Makes a meter, products and prices for tiers, under the lookup keys `tollgate_<tier>_monthly`,
    /// `tollgate_<tier>_yearly` and `tollgate_<tier>_<event name>`.
    pub fn seed(&self, catalogue: &Catalogue) -> Result<Vec<SeededTier>, ApiError> {
        self.service.with(|state, now| seed::catalogue(state, now, catalogue))
    }

    /// Makes a customer who subscribes to a seeded tier, monthly. `reference` becomes
    /// `metadata.tollgate_customer`.
    pub fn create_subscribed_customer(
        &self,
        tier: &str,
        reference: Option<&str>,
    ) -> Result<Subscribed, ApiError> {
        self.service.with(|state, now| seed::subscribed_customer(state, now, tier, reference))
    }

    /// Makes so many of them at once, called `<prefix>_0` and so on, without an event.
    pub fn seed_customers(&self, count: u64, tier: &str, prefix: &str) -> Result<Vec<Subscribed>, ApiError> {
        self.service.with(|state, now| seed::subscribed_customers(state, now, tier, prefix, count))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.background.iter().for_each(JoinHandle::abort);
    }
}

fn register(state: &mut State, endpoint: WebhookEndpoint) {
    let endpoint = Endpoint {
        id: state.ids.make("we"),
        url: endpoint.url,
        secret: endpoint.secret,
        enabled_events: vec!["*".to_owned()],
        disabled: false,
        metadata: state::Metadata::new(),
        created: delivery::unix_now(),
    };
    state.endpoints.insert(endpoint);
}

/// Periods end even while nobody asks.
async fn let_periods_end(service: Arc<Service>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        service.with(|_, _| ());
    }
}
