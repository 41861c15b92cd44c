//! What people see in a browser, made on the server.
//!
//! - [`dashboard`] the operator's, on the admin port
//! - [`usage`] the customers', at `/billing`
//! - [`parts`] what pages share: the shell, headers, sessions, forms, charts
//!
//! A page is a client of our own endpoints: `server` hands it their router as a value, so that it shows and does
//! nothing that they cannot. No page needs the network, a script or a build step: style and script are in the binary,
//! and the script only spares reloading.

pub mod dashboard;
pub mod parts;
pub mod usage;
