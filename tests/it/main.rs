//! Tollgate from outside: the real binary between real clients, a fake API and the local Stripe.
//!
//! - [`harness`] a world to break things in; its `finish` balances the books
//! - [`money`] what is charged is what is billed, whatever fails
//! - [`events`] a whole life of events, at random
//! - [`sync`] news that was missed
//! - [`usage_page`] what customers see and do in a browser
//! - [`webhooks`] a tier ends equal to Stripe's truth, whatever the news' order
//! - [`costs`] what the exchange itself tells of its cost
//! - [`credits`] prepaid units: spent once, in order, never below nothing
//! - [`events`] what each event changes, once: payments, credits, messages; at rest, in the shadow, replayed
//! - [`faults`] everything that a disk, a machine or Stripe can do to us
//! - [`fleet`] several gateways that share a Redis
//! - [`h2`] many requests at once on one connection, and clients that want to harm it
//! - [`http`] routes, tokens, headers, refusals, our own endpoints
//! - [`admin`] what operators see and correct
//! - [`billing`] what customers see, buy, change and cancel by themselves
//! - [`browsers`] pages of other origins
//! - [`callers`] who calls, beside tokens: API keys and what they may do, addresses, nobody in particular
//! - [`dashboard`] the operator's pages, and who may see them
//! - [`headers`] header rules, and where a request came from
//! - [`cli`] commands and exit codes
//! - [`log`] what is left of requests that are over
//! - [`monitoring`] alerts and dashboards speak of what there is
//! - [`notices`] others are told what happens to customers
//! - [`operator`] the commands that read and mend what a gateway keeps
//! - [`reconcile`] what Stripe holds, against what it should hold
//! - [`recovery`] what a start makes of what the last run left
//! - [`reload`] another configuration while everything runs
//! - [`slow`] clients that take their time, or more room than they should
//! - [`streams`] what lasts: streams, WebSockets, gRPC
//! - [`tiers`] what the configuration sells is made at Stripe, once, and costs there what it costs here
//! - [`tls`] certificates, handshakes, certificates of clients, the way there from plain ports
//! - [`threads`] who gives way to whom
//! - [`tricks`] smuggled requests, odd paths, spoofed headers: nothing is heard that was not paid for
//! - [`upgrade`] another process takes the place of the one that runs
//! - [`upstreams`] servers behind the gateway that are not ours

mod admin;
mod billing;
mod browsers;
mod callers;
mod cli;
mod costs;
mod credits;
mod dashboard;
mod events;
mod faults;
mod fleet;
mod h2;
mod harness;
mod headers;
mod http;
mod log;
mod money;
mod monitoring;
mod notices;
mod operator;
mod reconcile;
mod recovery;
mod reload;
mod slow;
mod streams;
mod sync;
mod threads;
mod tiers;
mod tls;
mod tricks;
mod upgrade;
mod upstreams;
mod usage_page;
mod webhooks;
