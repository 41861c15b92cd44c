//! Several gateways that share a Redis: real servers of it, on free ports.
//!
//! - [`leases`] what one node is lent, others are not; what Redis loses is put back
//! - [`members`] who is there, and who must not be
//! - [`shared`] facts, claims and questions
//! - [`copies`] copies of unsent usage, and the fences of those who take it over
//! - [`everywhere`] two gateways: keys charged once, lists of both
//! - [`layouts`] a Cluster, a Sentinel, TLS
//! - [`deploy`] the shipped files of `deploy/fleet`: what is set on Redis, a user with few rights
//! - [`world`] three gateways; [`limits`] what they never pass, and use up
//! - [`outages`] a Redis that is slow, stopped, killed, full

mod copies;
mod deploy;
mod everywhere;
mod layouts;
mod leases;
mod limits;
mod members;
mod node;
mod outages;
pub mod redis;
mod shared;
mod world;
