//! Several gateways that share a Redis: real servers of it, on free ports.
//!
//! - [`leases`] what one node is lent, others are not; what Redis loses is put back
//! - [`members`] who is there, and who must not be
//! - [`shared`] facts, claims and questions
//! - [`copies`] copies of unsent usage, and the fences of those who take it over
//! - [`everywhere`] two gateways: keys charged once, lists of both
//! - [`layouts`] a Cluster, a Sentinel, TLS
//! - [`deploy`] the shipped files of `deploy/fleet`: what is set on Redis, a user with few rights
//! - [`outages`] a Redis that is slow, stopped, killed, full
//!
//! Then with three gateways, which [`world`] starts:
//!
//! - [`limits`] what they never pass, and use up; [`race`] asks for it
//! - [`caps`] what each member of a customer may use
//! - [`costs`] what an exchange cost beyond its hold, all know
//! - [`flush`] Redis loses what it knows; [`trial`] has races and bills in it
//! - [`alone`] gateways that do not reach Redis, by a [`proxy`] for one
//! - [`rolling`] gateways come and go
//! - [`news`] what one hears, all know; [`keys`] that one makes, all accept
//! - [`lost`] a machine dies with usage that it has not reported
//! - [`reconcile`] what all have sent against what Stripe holds

mod alone;
mod caps;
mod copies;
mod costs;
mod deploy;
mod everywhere;
mod flush;
mod keys;
mod layouts;
mod leases;
mod limits;
mod lost;
mod members;
mod news;
mod node;
mod outages;
mod proxy;
mod race;
mod reconcile;
pub mod redis;
mod rolling;
mod shared;
mod trial;
pub mod world;
