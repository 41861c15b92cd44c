//! Tollgate: a reverse proxy that turns an API's traffic into a correct bill.
//!
//! # The floors
//!
//! Arrows point down only, and rooms on one floor do not import each other (`tests/tidy.rs` checks both):
//!
//! | floor | rooms |
//! |---|---|
//! | 6 | [`cli`] one file per command · [`server`] wires the rooms, drains and stops |
//! | 5 edges | [`gateway`] pingora: the proxied request · [`api`] billing, pricing, webhook, admin · [`pages`] what people see in a browser |
//! | 4 work | [`billing`] Stripe → customers · [`reporting`] ledger → outbox → Stripe |
//! | 3 state | [`customers`] hot state; admit, settle, release under one lock |
//! | 2 adapters | [`ledger`] disk · [`store`] `SQLite` · [`auth`] the issuer · [`stripe`] Stripe · [`config`] the file · [`fleet`] Redis · [`handover`] the next process · [`telemetry`] logs and collectors |
//! | 1 ground | [`domain`] values and decisions, no I/O, no clock · [`metrics`] every metric once · [`problem`] every error answer once · [`clock`] the one clock · [`csv`] lines of it · [`live`] what is replaced while it is read · [`news`] for whoever watches · [`priority`] of threads · [`seal`] what lies on disk · [`sharded`] numbers that all threads change · [`tls`] certificates, and what handshakes agree on |
//!
//! [`sandbox`] stands apart: a local Stripe that knows nothing of the rest.
//!
//! # The life of a request
//!
//! `gateway/serving.rs` reads it; `gateway/phases.rs` has what every request goes through. The path is
//! normalised and matched to a route; the token is looked up
//! among verified ones, or verified; the customer is found in memory or loaded; [`customers::Entry::admit`]
//! holds a reservation or refuses. `gateway/exchange.rs` forwards what is plain or opens a WebSocket, pingora's proxy
//! the rest (`gateway/proxy.rs`). Once the upstream's status is known and before its header goes out, the
//! reservation settles, or is released, and the usage record is appended to the [`ledger`]. Behind the request,
//! one thread folds the ledger into the [`store`]; [`reporting`] seals unreported usage into the outbox and sends
//! it to Stripe; [`billing`] applies what Stripe's webhooks tell.
//!
//! # The words
//!
//! A *subject* calls; a *customer* pays. A *tier* is a set of limits; a *subscription* is a customer's live state.
//! A *route* has a *cost* in *units* of a *meter*. A *quota* holds for a *period*; beyond it is *overage*. Units in
//! flight are a *reservation*, *settled* or *released*. Settled units are *usage records* in the *ledger*. Sealed
//! but unaccepted usage is the *outbox*, sent as *meter events* with *identifiers*. A typed no is a *refusal*. A
//! *repeat* is a charged request that came again under its idempotency key; it costs nothing.

pub mod api;
pub mod auth;
pub mod billing;
pub mod cli;
pub mod clock;
pub mod config;
pub mod csv;
pub mod customers;
pub mod domain;
pub mod fleet;
pub mod gateway;
pub mod handover;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod news;
pub mod pages;
pub mod priority;
pub mod problem;
pub mod reporting;
pub mod sandbox;
pub mod seal;
pub mod server;
pub mod sharded;
pub mod store;
pub mod stripe;
pub mod telemetry;
pub mod tls;
