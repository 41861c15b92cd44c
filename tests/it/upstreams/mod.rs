//! Servers behind the gateway that are not ours.

mod nginx;
