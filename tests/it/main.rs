//! Tollgate from outside: the real binary between real clients, a fake API and the local Stripe.
//!
//! - [`harness`] a world to break things in; its `finish` balances the books
//! - [`money`] what is charged is what is billed, whatever fails
//! - [`events`] a whole life of events, at random
//! - [`sync`] news that was missed
//! - [`webhooks`] a tier ends equal to Stripe's truth, whatever the news' order
//! - [`credits`] prepaid units: spent once, in order, never below nothing
//! - [`events`] what each event changes, once: payments, credits, messages; at rest, in the shadow, replayed
//! - [`faults`] everything that a disk, a machine or Stripe can do to us
//! - [`fleet`] several gateways that share a Redis
//! - [`http`] routes, tokens, headers, refusals, our own endpoints
//! - [`admin`] what operators see and correct
//! - [`billing`] what customers see, buy, change and cancel by themselves
//! - [`browsers`] pages of other origins
//! - [`headers`] header rules, and where a request came from
//! - [`cli`] commands and exit codes
//! - [`log`] what is left of requests that are over
//! - [`notices`] others are told what happens to customers
//! - [`operator`] the commands that read and mend what a gateway keeps
//! - [`reconcile`] what Stripe holds, against what it should hold
//! - [`recovery`] what a start makes of what the last run left
//! - [`threads`] who gives way to whom
//! - [`tricks`] smuggled requests, odd paths, spoofed headers: nothing is heard that was not paid for
//! - [`upstreams`] servers behind the gateway that are not ours

mod admin;
mod billing;
mod browsers;
mod cli;
mod credits;
mod events;
mod faults;
mod fleet;
mod harness;
mod headers;
mod http;
mod log;
mod money;
mod notices;
mod operator;
mod reconcile;
mod recovery;
mod sync;
mod threads;
mod tricks;
mod upstreams;
mod webhooks;
