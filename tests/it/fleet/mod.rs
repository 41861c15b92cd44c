//! Several gateways that share a Redis: real servers of it, on free ports.
//!
//! - [`leases`] what one node is lent, others are not; what Redis loses is put back
//! - [`members`] who is there, and who must not be
//! - [`shared`] facts, claims and questions
//! - [`copies`] copies of unsent usage, and the fences of those who take it over
//! - [`layouts`] a Cluster, a Sentinel, TLS, a user with few rights
//! - [`outages`] a Redis that is slow, stopped, killed, full
//!
//! Then with three gateways, which [`world`] starts:
//!
//! - [`limits`] what they never pass, and use up; [`race`] asks for it
//! - [`flush`] Redis loses what it knows

mod copies;
mod flush;
mod layouts;
mod leases;
mod limits;
mod members;
mod node;
mod outages;
mod race;
pub mod redis;
mod shared;
mod world;
