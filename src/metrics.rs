//! Every metric of Tollgate, declared once.
//!
//! Names, labels and meanings are a contract with dashboards and alerts. No label holds a customer, a path
//! or anything else without a bound. Every metric is there from the start, at zero: families with a label
//! whose values are known get a child for each of them in `Metrics::new`; those whose values come from the
//! configuration (route, tier, meter) get theirs through [`Metrics::preset`].
//!
//! The hot path never looks a label up: it keeps the child (`HotCounter`, `HotHistogram`) it was given once. What it
//! counts is [`hot`]: each thread has cells of its own, and a scrape adds them up.

pub mod hot;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use hot::{HotCounter, HotCounterVec, HotGaugeVec, HotHistogram, HotHistogramVec};

/// The process's metrics.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Buckets of request times in microseconds: from a cached answer to a slow export.
const REQUEST_MICROS: &[u64] = &[
    250, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];
/// Buckets of the gateway's own time in microseconds.
const GATEWAY_MICROS: &[u64] = &[5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000];
/// Buckets of disk syncs in microseconds.
const SYNC_MICROS: &[u64] = &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// What came of a measure: a truth, one that was cut to the most, none.
pub const MEASURED: [&str; 3] = ["told", "capped", "missing"];

/// The calls to Stripe.
const OPERATIONS: [&str; 31] = [
    "meter_event",
    "meter_list",
    "meter_create",
    "meter_summary",
    "event_retrieve",
    "event_list",
    "subscription_retrieve",
    "subscription_list",
    "subscription_create",
    "subscription_update",
    "subscription_cancel",
    "customer_create",
    "customer_list",
    "customer_retrieve",
    "checkout_create",
    "checkout_retrieve",
    "checkout_expire",
    "portal_create",
    "price_list",
    "price_retrieve",
    "price_create",
    "price_update",
    "product_list",
    "product_create",
    "invoice_list",
    "invoice_retrieve",
    "payment_method_list",
    "payment_method_retrieve",
    "payment_method_attach",
    "payment_method_retrieve",
    "payment_intent_retrieve",
];

/// A metric as it is declared.
pub struct Described {
    pub name: &'static str,
    /// The function that makes it: it ends in the metric's type.
    pub kind: &'static str,
    pub about: &'static str,
    /// Labels and buckets, as they are written.
    pub shape: &'static str,
}

/// Declares the struct, and registers each metric under its documented name; its comment is its help text.
macro_rules! metrics {
    ($( #[doc = $doc:literal] $field:ident: $kind:ty = $make:ident($name:literal $(, $arg:expr)*); )*) => {
        /// One field per metric family.
        pub struct Metrics {
            registry: Registry,
            $( #[doc = $doc] pub $field: $kind, )*
        }
        impl Metrics {
            fn declare() -> Result<Self, prometheus::Error> {
                let registry = Registry::new_custom(Some("tollgate".into()), None)?;
                $( let $field = $make(Opts::new($name, $doc.trim()) $(, $arg)*)?;
                   registry.register(Box::new($field.clone()))?; )*
                Ok(Self { registry, $( $field, )* })
            }

            /// What each metric is, for the reference.
            pub fn described() -> &'static [Described] {
                &[$( Described {
                    name: concat!("tollgate_", $name),
                    kind: stringify!($make),
                    about: $doc,
                    shape: stringify!($($arg),*),
                }, )*]
            }
        }
    };
}

metrics! {
    /// Requests answered, by route pattern and status class.
    requests: HotCounterVec = hot_counters("requests_total", &["route", "status_class"]);
    /// Requests that the gateway refused, by problem code.
    refusals: HotCounterVec = hot_counters("refusals_total", &["code"]);
    /// Requests that a limit would have refused, and that were served since it is in shadow, by problem code.
    shadow_refusals: HotCounterVec = hot_counters("shadow_refusals_total", &["code"]);
    /// Clients' connections that are open.
    connections: IntGauge = gauge("connections");
    /// Connections that were closed unserved: too many, too many of one address, or no handshake of TLS.
    connections_refused: IntCounterVec = counters("connections_refused_total", &["why"]);
    /// When each certificate ends, in Unix time, by the first name that it is shown for.
    certificate_expires_seconds: IntGaugeVec = gauges("certificate_expires_seconds", &["name"]);
    /// Time from the request's header to the response's end.
    request_seconds: HotHistogramVec = hot_histograms("request_seconds", &["route"], REQUEST_MICROS);
    /// The gateway's own time for a forwarded request: without the upstream's and the client's, with the ledger's.
    gateway_seconds: HotHistogram = hot_histogram("gateway_seconds", GATEWAY_MICROS);
    /// Units charged, by what they were drawn on; corrections are not taken off.
    units: HotCounterVec = hot_counters("units_total", &["meter", "tier", "drawn"]);
    /// Answers that repeated a charged request under its `Idempotency-Key` and cost nothing.
    repeats: HotCounter = hot_counter("repeats_total");
    /// Costs that an exchange was to tell itself, by what came of it.
    measures: HotCounterVec = hot_counters("measures_total", &["outcome"]);
    /// Token checks, by result.
    auth: HotCounterVec = hot_counters("auth_total", &["result"]);
    /// Tokens found among the verified ones.
    token_cache_hits: HotCounter = hot_counter("token_cache_hits_total");
    /// Tokens that had to be verified.
    token_cache_misses: HotCounter = hot_counter("token_cache_misses_total");
    /// Customers in memory.
    customers_loaded: IntGauge = gauge("customers_loaded");
    /// Usage records appended to the ledger.
    ledger_appends: HotCounter = hot_counter("ledger_appends_total");
    /// Time of one sync of the ledger to disk.
    ledger_sync_seconds: Histogram = histogram("ledger_sync_seconds", SYNC_MICROS);
    /// Bytes appended to the ledger.
    ledger_bytes: HotCounter = hot_counter("ledger_bytes");
    /// Failed writes and syncs of the ledger.
    ledger_errors: IntCounter = counter("ledger_errors_total");
    /// Usage records folded into the store.
    ledger_folded: IntCounter = counter("ledger_folded_total");
    /// Reportable units recorded by this process, corrections taken off.
    recorded_units: HotGaugeVec = hot_gauges("recorded_units", &["meter"]);
    /// Of those, the ones folded into the store.
    folded_units: IntGaugeVec = gauges("folded_units", &["meter"]);
    /// Usage recorded for a Stripe customer but not sealed into the outbox yet, in units.
    unsealed_units: HotGaugeVec = hot_gauges("unsealed_units", &["meter"]);
    /// Usage recorded for customers without a Stripe id, in units.
    unlinked_units: IntGaugeVec = gauges("unlinked_units", &["meter"]);
    /// Meter events sealed and not yet accepted by Stripe.
    outbox_pending: IntGauge = gauge("outbox_pending");
    /// Age of the oldest pending meter event.
    outbox_oldest_seconds: IntGauge = gauge("outbox_oldest_seconds");
    /// Meter events that Stripe refused for good, or that wait for a decision.
    outbox_dead: IntGauge = gauge("outbox_dead");
    /// Calls to Stripe, by operation and outcome.
    stripe_requests: IntCounterVec = counters("stripe_requests_total", &["operation", "outcome"]);
    /// Time of one call to Stripe.
    stripe_request_seconds: HistogramVec = histograms("stripe_request_seconds", &["operation"], REQUEST_MICROS);
    /// 1 while the circuit breaker keeps calls from Stripe.
    stripe_circuit_open: IntGauge = gauge("stripe_circuit_open");
    /// Meter events, by what Stripe answered.
    meter_events: IntCounterVec = counters("meter_events_total", &["outcome"]);
    /// Webhooks received, by event type (`other` for those that change nothing here, or were not taken) and outcome.
    webhooks: IntCounterVec = counters("webhooks_total", &["type", "outcome"]);
    /// Webhooks received again with an event id already stored.
    webhook_duplicates: IntCounter = counter("webhook_duplicates_total");
    /// Time to verify and store one webhook.
    webhook_seconds: Histogram = histogram("webhook_seconds", REQUEST_MICROS);
    /// Seconds from an event's creation at Stripe to its effect here, for the last one applied.
    webhook_lag_seconds: IntGauge = gauge("webhook_lag_seconds");
    /// Subscriptions known, by tier and status.
    subscriptions: IntGaugeVec = gauges("subscriptions", &["tier", "status"]);
    /// Customers whose tier changed.
    tier_changes: IntCounterVec = counters("tier_changes_total", &["from", "to"]);
    /// Payments that Stripe told of, by outcome.
    payments: IntCounterVec = counters("payments_total", &["outcome"]);
    /// Checkout sessions that Stripe told of, by outcome.
    checkouts: IntCounterVec = counters("checkouts_total", &["outcome"]);
    /// Units granted and spent as credits, by what happened to them.
    credits: IntCounterVec = counters("credits_total", &["kind"]);
    /// Lines of the access log that could not be written, or had to wait for too many others.
    access_log_dropped: IntCounter = counter("access_log_dropped_total");
    /// Spans that no collector took, or that had to wait for too many others.
    spans_dropped: IntCounter = counter("spans_dropped_total");
    /// Messages sent to others, by type and outcome of a try.
    notices: IntCounterVec = counters("notices_total", &["type", "outcome"]);
    /// Messages that wait to be delivered.
    notices_pending: IntGauge = gauge("notices_pending");
    /// Runs that read all subscriptions again, by outcome.
    sync_runs: IntCounterVec = counters("sync_runs_total", &["outcome"]);
    /// Servers of an upstream that are well.
    upstream_up: IntGaugeVec = gauges("upstream_up", &["upstream"]);
    /// Attempts to have a request answered by an upstream, by how they ended.
    upstream_attempts: HotCounterVec = hot_counters("upstream_attempts_total", &["upstream", "outcome"]);
    /// Webhooks stored and not applied yet.
    inbox_pending: IntGauge = gauge("inbox_pending");
    /// Age of the oldest webhook that is stored and not applied yet, from its arrival or its replay.
    inbox_oldest_seconds: IntGauge = gauge("inbox_oldest_seconds");
    /// Webhooks that could not be applied.
    inbox_failed: IntGauge = gauge("inbox_failed");
    /// 1 on a gateway of a fleet; else what is named `fleet` says nothing.
    fleet_member: IntGauge = gauge("fleet_member");
    /// 1 while Redis answers.
    fleet_redis_up: IntGauge = gauge("fleet_redis_up");
    /// Leases asked of Redis.
    fleet_lease_calls: IntCounter = counter("fleet_lease_calls_total");
    /// Age of the newest totals shared with the fleet.
    fleet_lag_seconds: IntGauge = gauge("fleet_lag_seconds");
    /// Meter events and totals that another node could not report if this one were lost.
    fleet_uncopied: IntGauge = gauge("fleet_uncopied");
    /// Units missing or too much at Stripe at the last reconcile, over all customers; what may be its delay is left out.
    reconcile_difference_units: IntGaugeVec = gauges("reconcile_difference_units", &["meter"]);
    /// Reloads of the configuration.
    config_reload: IntCounterVec = counters("config_reload_total", &["outcome"]);
    /// 1 while the newest configuration is refused, and the one before it in force.
    config_rejected: IntGauge = gauge("config_rejected");
    /// Always 1; the version is a label.
    build_info: IntGaugeVec = gauges("build_info", &["version"]);
}

type Made<T> = Result<T, prometheus::Error>;

fn counter(opts: Opts) -> Made<IntCounter> {
    IntCounter::with_opts(opts)
}
fn counters(opts: Opts, labels: &[&str]) -> Made<IntCounterVec> {
    IntCounterVec::new(opts, labels)
}
fn gauge(opts: Opts) -> Made<IntGauge> {
    IntGauge::with_opts(opts)
}
fn gauges(opts: Opts, labels: &[&str]) -> Made<IntGaugeVec> {
    IntGaugeVec::new(opts, labels)
}
fn histogram(opts: Opts, micros: &[u64]) -> Made<Histogram> {
    Histogram::with_opts(HistogramOpts::from(opts).buckets(seconds(micros)))
}
fn histograms(opts: Opts, labels: &[&str], micros: &[u64]) -> Made<HistogramVec> {
    HistogramVec::new(HistogramOpts::from(opts).buckets(seconds(micros)), labels)
}
fn hot_counter(opts: Opts) -> Made<HotCounter> {
    hot::single(opts, ())
}
fn hot_counters(opts: Opts, labels: &[&str]) -> Made<HotCounterVec> {
    hot::family(opts, labels, ())
}
fn hot_gauges(opts: Opts, labels: &[&str]) -> Made<HotGaugeVec> {
    hot::family(opts, labels, ())
}
fn hot_histogram(opts: Opts, micros: &[u64]) -> Made<HotHistogram> {
    hot::single(opts, hot::Bounds::from_micros(micros))
}
fn hot_histograms(opts: Opts, labels: &[&str], micros: &[u64]) -> Made<HotHistogramVec> {
    hot::family(opts, labels, hot::Bounds::from_micros(micros))
}

fn seconds(micros: &[u64]) -> Vec<f64> {
    micros.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).collect()
}

impl Metrics {
    fn new() -> Self {
        let metrics = Self::declare().expect("metric names and labels are literals, each once");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.preset_known_labels();
        metrics
    }

    /// Children whose label values are known without a configuration.
    fn preset_known_labels(&self) {
        for result in
            ["ok", "token_missing", "token_invalid", "token_expired", "auth_unavailable", "rate_limited"]
        {
            self.auth.with_label_values(&[result]);
        }
        for outcome in MEASURED {
            self.measures.with_label_values(&[outcome]);
        }
        for (family, values) in [
            (
                &self.meter_events,
                &["delivered", "duplicate", "retried", "resealed", "dead", "compared", "rejected"][..],
            ),
            (&self.connections_refused, &["all", "address", "handshake"]),
            (&self.payments, &["succeeded", "failed"]),
            (&self.checkouts, &["created", "completed", "expired"]),
            (&self.credits, &["granted", "spent", "returned", "taken", "expired"]),
            (&self.sync_runs, &["completed", "failed"]),
            (&self.config_reload, &["applied", "rejected"]),
        ] {
            for value in values {
                family.with_label_values(&[value]);
            }
        }
        for operation in OPERATIONS {
            for outcome in ["ok", "refused", "failed"] {
                self.stripe_requests.with_label_values(&[operation, outcome]);
            }
            self.stripe_request_seconds.with_label_values(&[operation]);
        }
        for outcome in ["stored", "duplicate", "invalid", "slowed", "failed"] {
            self.webhooks.with_label_values(&["other", outcome]);
        }
    }

    /// Children whose label values come from the configuration.
    pub fn preset(&self, routes: &[&str], tiers: &[&str], meters: &[&str], codes: &[&str]) {
        for route in routes.iter().chain(&["none"]) {
            self.request_seconds.with_label_values(&[route]);
            for class in ["1xx", "2xx", "3xx", "4xx", "5xx"] {
                self.requests.with_label_values(&[route, class]);
            }
        }
        for meter in meters {
            self.recorded_units.with_label_values(&[meter]);
            self.folded_units.with_label_values(&[meter]);
            self.unsealed_units.with_label_values(&[meter]);
            self.unlinked_units.with_label_values(&[meter]);
            self.reconcile_difference_units.with_label_values(&[meter]);
            for tier in tiers {
                for drawn in ["included", "credits", "overage"] {
                    self.units.with_label_values(&[meter, tier, drawn]);
                }
            }
        }
        for tier in tiers {
            for to in tiers.iter().filter(|to| *to != tier) {
                self.tier_changes.with_label_values(&[tier, to]);
            }
        }
        for code in codes {
            self.refusals.with_label_values(&[code]);
            self.shadow_refusals.with_label_values(&[code]);
        }
    }

    /// All metrics in Prometheus' text format, the process's own (CPU, memory, descriptors) included.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(prometheus::gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}
