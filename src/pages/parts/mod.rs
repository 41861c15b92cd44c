//! What pages share.
//!
//! A page's router has [`assets::routes`] merged into it and [`headers::secure`] around it; each page is
//! [`layout::page`]; a failure is [`layout::problem`]. Who may see it is a [`session`], what a form may do its
//! [`forms`] token.

pub mod assets;
pub mod chart;
pub mod days;
pub mod forms;
pub mod headers;
pub mod layout;
pub mod session;
pub mod words;
