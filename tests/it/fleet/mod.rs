//! Several gateways that share a Redis: real servers of it, on free ports.
//!
//! - [`leases`] what one node is lent, others are not; what Redis loses is put back
//! - [`members`] who is there, and who must not be
//! - [`shared`] facts, claims, copies and questions
//! - [`layouts`] a Cluster, a Sentinel, TLS, a user with few rights
//! - [`outages`] a Redis that is slow, stopped, killed, full

mod layouts;
mod leases;
mod members;
mod node;
mod outages;
pub mod redis;
mod shared;
