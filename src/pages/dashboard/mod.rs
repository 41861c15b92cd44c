//! The operator's pages.
